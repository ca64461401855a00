"""URLs of the security team."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from audit import views


class EventKey(IntConverter):
    """A 63-bit key; a longer number is no page rather than an error of the database."""

    regex = "[0-9]{1,18}"


register_converter(EventKey, "event_key")

app_name = "audit"
urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("events/<event_key:event_id>/", views.event, name="event"),
]
