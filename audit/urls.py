"""URLs of the security team."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from audit import views


class EventKey(IntConverter):
    """A 63-bit key; a greater number is no page rather than an error of the database."""

    def to_python(self, value: str) -> int:
        key = int(value) if len(value) < 20 else 2**63
        if key >= 2**63:
            raise ValueError
        return key


register_converter(EventKey, "event_key")

app_name = "audit"
urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("events/<event_key:event_id>/", views.event, name="event"),
]
