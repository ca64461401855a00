"""What time ends: sessions, counters, browser state. Called regularly by spool's housekeeping; harmless if late."""

from datetime import datetime

from django.contrib.sessions.models import Session

from accounts import sessions, throttle


def sweep(*, now: datetime) -> int:
    """Close and delete what is over; returns how many sessions were closed."""
    closed = sessions.close_overdue(now=now)
    throttle.purge(now=now)
    Session.objects.filter(expire_date__lte=now).delete()
    return closed
