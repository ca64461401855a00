"""Signs of life of the smtpd process, written beside the sessions and never holding one up.

There is none for a while after mails in a row were put off because nobody wrote them: the process lives, and keeps
nothing. A while only, for perhaps no mail comes any more by which it could show that it writes again.
"""

import logging
import threading
import time
from datetime import timedelta

from django.db import DatabaseError, connection
from django.utils import timezone

from spool.models import Route
from spool.queue import heartbeats
from spool.smtpd.server import Server

log = logging.getLogger(__name__)

SERVICE = "smtpd"
HEARTBEAT_EVERY = 2.0  # seconds
COUNTERS_EVERY = 5.0
UNWRITTEN = 3  # mails in a row that were not written: one may be a fault of its own
SILENT_FOR = 300.0  # after the last of them


def ask_for_probes(server: Server) -> None:
    """Have the primaries looked at for which senders came; once a second for each route, over all processes."""
    wanted = [server.wanted.pop() for _ in range(len(server.wanted))]
    if not wanted:
        return
    now = timezone.now()
    recently = now - timedelta(seconds=1)
    Route.objects.filter(pk__in=wanted).exclude(probe_wanted_at__gt=recently, probe_wanted_at__lte=now).update(
        probe_wanted_at=now
    )


class Beat(threading.Thread):
    """Writes signs of life, counts, and which primaries should be probed. Never holds up a session."""

    def __init__(self, server: Server) -> None:
        super().__init__(name="smtpd-beat", daemon=True)
        self._server = server
        self._stopping = threading.Event()
        self._name = heartbeats.name_of(SERVICE)
        self._beaten = self._counted = float("-inf")

    def run(self) -> None:
        try:
            while not self._stopping.wait(0.2):
                self._guarded(ending=False)
            self._guarded(ending=True)
        finally:
            connection.close()

    def stop(self) -> None:
        self._stopping.set()

    def _guarded(self, *, ending: bool) -> None:
        try:
            self.step(time.monotonic(), ending=ending)
        except DatabaseError as error:
            log.info("a sign of life could not be written: %s", type(error).__name__)
            connection.close()
            self._stopping.wait(1.0)

    def step(self, now: float, *, ending: bool) -> None:
        """What is due. `now` in seconds of the monotonic clock. Raises DatabaseError."""
        ask_for_probes(self._server)
        if ending:
            heartbeats.withdraw(self._name)
        elif now - self._beaten >= HEARTBEAT_EVERY and not self._keeps_nothing(now):
            heartbeats.give(self._name, now=timezone.now())
            self._beaten = now
        if ending or now - self._counted >= COUNTERS_EVERY:
            self._server.counters.flush()
            self._counted = now

    def _keeps_nothing(self, now: float) -> bool:
        server = self._server
        return server.unwritten >= UNWRITTEN and now - server.unwritten_at < SILENT_FOR
