"""URLs of reading: inbox, folders, message page, body, attachments, raw download, story."""

from django.urls import URLPattern, path

from spool.webmail import theme

urlpatterns: list[URLPattern] = [
    path("theme", theme.switch, name="theme"),
]
