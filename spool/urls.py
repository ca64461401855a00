"""URLs of the webmail and the console."""

from django.urls import URLPattern

app_name = "spool"
urlpatterns: list[URLPattern] = []
