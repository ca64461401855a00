"""Counts of what the server did, kept in memory and added to the table `Counter` now and then. Thread-safe."""

import threading
from collections import Counter as Counts

from django.db import transaction
from django.db.models import F

from spool.models import Counter

PREFIX = "smtpd."


class Counters:
    """Adds up by name; `flush` moves the sums to the database and keeps them if it is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Counts[str] = Counts()

    def add(self, name: str, number: int = 1) -> None:
        with self._lock:
            self._waiting[name] += number

    def flush(self) -> None:
        """Raises DatabaseError; nothing is lost then."""
        with self._lock:
            waiting, self._waiting = self._waiting, Counts()
        try:
            with transaction.atomic():
                for name in sorted(waiting):
                    Counter.objects.get_or_create(name=PREFIX + name)
                    Counter.objects.filter(name=PREFIX + name).update(value=F("value") + waiting[name])
        except BaseException:
            with self._lock:
                self._waiting.update(waiting)
            raise
