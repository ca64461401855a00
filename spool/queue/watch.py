"""The watch: probes, route states, visibility, sealing. A plain loop under a database lease; no Celery, no Redis.

Several may run, one acts: the lease is fenced, so a watch that was stopped and wakes up late changes nothing. The
database being away is waited out.
"""

import logging
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import Error as DjangoDatabaseError
from django.db import connection
from django.utils import timezone

from audit import patrol
from audit.sealing import seal
from spool.enums import RouteState
from spool.failpoints import failpoint
from spool.models import Probe, Route
from spool.queue import heartbeats, leases, outage, scope, visibility
from spool.queue.probe import Target, probe, target_of
from spool.queue.schedule import Evidence, probe_delay

log = logging.getLogger(__name__)

TICK = 0.25
LEASE_SECONDS = 8.0
RENEW_SECONDS = 2.0
HEARTBEAT_SECONDS = 5.0
WANTED_GAP = timedelta(seconds=1)  # a crowd of senders causes one look a second, not one each
PROBES_KEPT = timedelta(days=7)
PRUNE_SECONDS = 600.0
PROBES_AT_ONCE = 16


@dataclass
class Watch:
    """Runs until `stop` is set. `tick` is one turn, for tests."""

    stop: threading.Event = field(default_factory=threading.Event)
    holder: str = field(default_factory=leases.holder_name)
    _lease: leases.Held | None = None
    _probes: dict[int, Future[Evidence]] = field(default_factory=dict)
    _done_at: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Block until `stop`. A database that is away is tried again, said once."""
        away = False
        while not self.stop.wait(TICK):
            try:
                self.tick(now=timezone.now())
                away = False
            except DjangoDatabaseError as error:
                if not away:
                    log.warning("the database is away: %s", type(error).__name__)
                away, self._lease = True, None
                connection.close()
                self.stop.wait(0.5)
        self.close()

    def close(self) -> None:
        """Let another watch act at once."""
        with suppress(DjangoDatabaseError):
            if self._lease:
                leases.release(self._lease, now=timezone.now())
            heartbeats.withdraw(self._heartbeat_name())
        connection.close()

    def tick(self, *, now: datetime) -> bool:
        """One turn. Returns whether this watch is the one that acts."""
        if self._every("heartbeat", HEARTBEAT_SECONDS):
            heartbeats.give(self._heartbeat_name(), now=now)
        if not self._ensure_lease(now):
            self._probes.clear()
            return False
        try:
            self._collect(now)
        except leases.LeaseLostError:
            self._lease = None
            return False
        self._start_probes(now)
        if self._every("second", 1.0):
            outage.begin_planned(now=now)
            visibility.show(now=now)
            seal(now=now)
            self._patrol(now)
        if self._every("prune", PRUNE_SECONDS):
            Probe.objects.filter(at__lt=now - PROBES_KEPT).delete()
        return True

    def _patrol(self, now: datetime) -> None:
        """A step along the audit log; whatever it stumbles over, mail goes on."""
        if settings.DRILL_DOMAIN:
            return  # the product's own watch does it
        try:
            patrol.step(now=now)
        except DjangoDatabaseError:
            raise
        except Exception:
            log.exception("the audit log could not be checked")

    def _every(self, what: str, seconds: float) -> bool:
        moment = time.monotonic()
        if moment - self._done_at.get(what, -seconds) < seconds:
            return False
        self._done_at[what] = moment
        return True

    def _heartbeat_name(self) -> str:
        return f"watch:{self.holder}"

    def _ensure_lease(self, now: datetime) -> bool:
        name = f"watch:{settings.DRILL_DOMAIN}" if settings.DRILL_DOMAIN else "watch"
        if self._lease is None:
            self._lease = leases.acquire(name, seconds=LEASE_SECONDS, now=now, holder=self.holder)
        elif not LEASE_SECONDS - RENEW_SECONDS <= (self._lease.until - now).total_seconds() <= LEASE_SECONDS:
            try:
                self._lease = leases.renew(self._lease, seconds=LEASE_SECONDS, now=now)
            except leases.LeaseLostError:
                self._lease = None
        return self._lease is not None

    # --- probes -----------------------------------------------------------------------------------------------
    def _collect(self, now: datetime) -> None:
        """Let finished probes move their routes. Raises LeaseLostError."""
        for route_id, future in list(self._probes.items()):
            if not future.done():
                continue
            del self._probes[route_id]
            failpoint("watch.after_probe")
            route = Route.objects.filter(pk=route_id).first()
            if route is None:
                continue
            if error := future.exception():  # our own mistake says nothing about the primary
                log.error("the probe of %s failed", route.name, exc_info=error)
                continue
            before = route.state
            route = outage.observe(route, future.result(), now=now, lease=self._lease)
            delay = probe_delay(RouteState(route.state), interval=settings.PROBE_INTERVAL)
            Route.objects.filter(pk=route_id).update(next_probe_at=now + timedelta(seconds=delay))
            if route.state != before:
                log.info("route %s: %s, was %s", route.name, route.state, before)

    def _start_probes(self, now: datetime) -> None:
        for route in scope.routes().prefetch_related("hosts", "domains"):
            if len(self._probes) >= PROBES_AT_ONCE:
                return
            if route.pk in self._probes or not is_due(route, now=now):
                continue
            # Taken before the look, so that a sender who comes meanwhile causes another.
            Route.objects.filter(pk=route.pk).update(
                next_probe_at=now + timedelta(seconds=settings.PROBE_INTERVAL), last_probe_at=now
            )
            target = target_of(route, helo=settings.SMTP_HOSTNAME, timeout=settings.PROBE_TIMEOUT)
            self._probes[route.pk] = _in_background(target)


def _in_background(target: Target) -> Future[Evidence]:
    """A look in a daemon thread: one that hangs keeps neither the loop nor the end of the process."""
    future: Future[Evidence] = Future()

    def look() -> None:
        try:
            future.set_result(probe(target))
        except Exception as error:  # noqa: BLE001 - handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=look, daemon=True, name="probe").start()
    return future


def is_due(route: Route, *, now: datetime) -> bool:
    """By its time, or because a sender came since the last look; times far ahead are of a clock that was set back."""
    interval = timedelta(seconds=max(settings.PROBE_INTERVAL, settings.PROBE_TIMEOUT))
    if route.next_probe_at is None or not now < route.next_probe_at <= now + interval:
        return True
    if route.probe_wanted_at is None:
        return False
    last = route.last_probe_at
    return last is None or (route.probe_wanted_at > last and now - last >= WANTED_GAP)
