"""URLs of the webmail and the console; each room keeps its own list."""

from django.urls import URLPattern, URLResolver

from spool.console import urls as urls_console
from spool.webmail import urls_reading, urls_writing

app_name = "spool"
urlpatterns: list[URLPattern | URLResolver] = [
    *urls_reading.urlpatterns,
    *urls_writing.urlpatterns,
    *urls_console.urlpatterns,
]
