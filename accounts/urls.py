"""URLs of the accounts: log-in, enrolment, log-out."""

from django.urls import URLPattern

app_name = "accounts"
urlpatterns: list[URLPattern] = []
