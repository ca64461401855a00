"""What the server knows of routes and addresses: read in the background, answered from memory.

Route states are read every second, addresses within 5 s of a change. While the database is away the last
known view stays; what it says of a healthy primary goes stale by itself.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, connection
from django.db.models import Count, F, Max, Q, Sum
from django.utils import timezone

from spool.enums import OutageKind, RouteState
from spool.models import Domain, LearnedAddress, Mailbox, MailboxAlias, Outage, Route
from spool.queue.addresses import Directory

log = logging.getLogger(__name__)

ROUTES_EVERY = 1.0  # seconds
ADDRESSES_EVERY = 3.0
RELOAD_EVERY = 60.0  # whatever the fingerprint says


@dataclass(frozen=True)
class RouteView:
    """A route's state; `confirmed_at` in Unix time. `declared`: a person says that it is, or will be, down."""

    id: int
    state: RouteState
    confirmed_at: float | None = None
    declared: bool = False

    def healthy(self, now: float, *, within: float) -> bool:
        """Up, and confirmed so within the last `within` seconds: senders can use it."""
        # A time that lies ahead is of a clock that was set back since: it confirms nothing.
        fresh = self.confirmed_at is not None and abs(now - self.confirmed_at) <= within
        return self.state == RouteState.UP and fresh and not self.declared


@dataclass(frozen=True)
class View:
    """One consistent picture, held by a transaction from MAIL to its end."""

    directory: Directory
    routes: dict[int, RouteView] = field(default_factory=dict)


def load_routes() -> dict[int, RouteView]:
    """Two queries."""
    declared = set(
        Outage.objects.filter(
            Q(until__isnull=True) | Q(until__gt=timezone.now()),
            closed_at__isnull=True,
            opened_at__lte=timezone.now(),
            kind__in=(OutageKind.DECLARED, OutageKind.PLANNED),
        ).values_list("route_id", flat=True)
    )
    return {
        pk: RouteView(pk, RouteState(state), at.timestamp() if at else None, pk in declared)
        for pk, state, at in Route.objects.values_list("pk", "state", "confirmed_at")
    }


def fingerprint() -> tuple[Any, ...]:
    """Changes whenever a domain, mailbox, alias or learned address is added, changed or removed."""
    domains = Domain.objects.order_by("pk").values_list("pk", "route", "recipient_policy", "while_up", "dropbox")
    # Weighted by the key: one removed and another restored in the same moment are a change, too.
    boxes = Mailbox.objects.aggregate(Count("pk"), Max("pk"), Sum("user"), active=Sum("pk", filter=Q(is_active=True)))
    aliases = MailboxAlias.objects.aggregate(Count("pk"), Max("pk"), owners=Sum(F("pk") * F("mailbox")))
    learned = LearnedAddress.objects.aggregate(Count("pk"), Max("pk"))
    return tuple(domains), tuple(boxes.values()), tuple(aliases.values()), tuple(learned.values())


class ViewKeeper(threading.Thread):
    """Keeps `view` current until `stop`. `view` is None until the database was read once."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        super().__init__(name="smtpd-view", daemon=True)
        self.view: View | None = None
        self._on_change = on_change
        self.looked = threading.Event()  # the database was asked once, with or without an answer
        self._stopping = threading.Event()
        self._fingerprint: tuple[Any, ...] | None = None
        self._checked = self._loaded = float("-inf")

    def refresh(self, *, everything: bool = False) -> None:
        """Read what is due. Raises DatabaseError."""
        now = time.monotonic()
        directory = self.view.directory if self.view else None
        if everything or directory is None or now - self._checked >= ADDRESSES_EVERY:
            mark = fingerprint()
            self._checked = now
            if everything or directory is None or mark != self._fingerprint or now - self._loaded >= RELOAD_EVERY:
                directory = Directory.load()
                self._fingerprint, self._loaded = mark, now
        self.view = View(directory, load_routes())
        self._on_change()

    def run(self) -> None:
        away = False
        try:
            while not self._stopping.is_set():
                away = self._step(away=away)
                self.looked.set()
                self._stopping.wait(ROUTES_EVERY)
        finally:
            connection.close()

    def _step(self, *, away: bool) -> bool:
        try:
            self.refresh()
        except DatabaseError as error:
            if not away:
                log.warning("the database is away, the last known view stays: %s", type(error).__name__)
            connection.close()
            return True
        return False

    def stop(self) -> None:
        self._stopping.set()
