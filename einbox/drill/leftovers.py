"""What a drill that was stopped leaves behind, taken away: people who can log in, mail that waits, an open outage.

Touches rows of drills only. The drill's processes must have ended.
"""

from contextlib import suppress
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat
from django.utils.translation import gettext as _

from accounts import provision
from accounts.models import User
from accounts.provision import ProvisionError
from audit.context import acting, current
from audit.record import Target, record
from audit.tags import Tag
from spool.enums import UNFINISHED, DeliveryState, RouteState
from spool.models import Attempt, Delivery, Domain, Outage, Route
from spool.queue import queries
from spool.queue.transitions import change_state, finish
from spool.smtp.replies import Outcome

FORGOTTEN_AFTER = timedelta(days=1)  # a drill's senders give up after minutes: it was killed, and could not clear up


def clear(domain: Domain, *, ended: bool, now: datetime) -> None:
    """Close the accounts of this drill, withdraw what still waits and close its outage. `ended`: as it should."""
    with acting(current().actor, drill=True):
        for user in _people().filter(email__endswith=f"@{domain.name}"):
            with suppress(ProvisionError):  # somebody else did it
                provision.deactivate(user, reason="drill ended")
        _rest(domain, ended=ended, now=now)


def clear_forgotten(*, now: datetime) -> None:
    """Clear up after drills that were killed."""
    waiting = Delivery.objects.filter(route=OuterRef("route"), state__in=UNFINISHED)
    outages = Outage.objects.filter(route=OuterRef("route"), closed_at__isnull=True)
    people = _people().filter(email__endswith=Concat(Value("@"), OuterRef("name")))
    old = Domain.objects.filter(is_drill=True, created_at__lt=now - FORGOTTEN_AFTER)
    for domain in old.filter(Q(Exists(waiting)) | Q(Exists(outages)) | Q(Exists(people))):
        clear(domain, ended=False, now=now)


def _people() -> "QuerySet[User]":
    return User.objects.filter(is_drill=True, is_active=True)


@transaction.atomic
def _rest(domain: Domain, *, ended: bool, now: datetime) -> None:
    route = Route.objects.select_for_update().get(pk=domain.route_id)
    withdrawn = _withdraw(route, now=now)
    running = queries.open_outage_of(route)
    if route.state != RouteState.UP:
        change_state(route, RouteState.UP, evidence=_("the drill was stopped"), outage=running, now=now)
        route.save()
    if running is not None:
        finish(running, now=now)
    if not ended:
        target = Target("drill", domain.name, domain.name)
        record(Tag.DRILL_STOPPED, target=target, detail={"withdrawn": withdrawn}, at=now)


def _withdraw(route: Route, *, now: datetime) -> int:
    """End what waits, also what the drill's worker held when it ended. Returns how many."""
    waiting = Delivery.objects.filter(route=route, state__in=UNFINISHED)
    tries = Attempt.objects.filter(delivery__route=route, finished_at__isnull=True)
    tries.update(finished_at=now, outcome=Outcome.AMBIGUOUS)
    return waiting.update(
        state=DeliveryState.REMOVED,
        finished_at=now,
        held=False,
        lease_until=None,
        reason=_("the drill was stopped"),
    )
