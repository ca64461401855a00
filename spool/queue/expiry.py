"""Giving up what could not be delivered in all its time, never without warnings (rule 2).

Warnings come 7, 3 and 1 day before the end: an event, a mark in the queue, and a notice to the author if he is ours.
The last one gives its delivery a whole day more if less was left. Only time in which the route is up and not held
counts (rule 5): nothing is warned of or expires otherwise, and spool.queue.transitions gives the rest back.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from audit.record import Target, record
from audit.tags import Tag
from spool.enums import DeliveryState, RouteState
from spool.models import Delivery, Route
from spool.queue import bounce, ingest, scope
from spool.smtp.client import Result
from spool.smtp.replies import Outcome, Phase

LAST_NOTICE = timedelta(days=1)  # nothing expires sooner after its last warning
NOT_WARNED: dict[str, Any] = {"warned": 0, "warned_at": None}
EXPIRES_SOON = Q(state__in=(DeliveryState.QUEUED, DeliveryState.LEASED), warned__gt=0)


def steps() -> tuple[timedelta, ...]:
    """How long before the end each warning is given, the last one LAST_NOTICE before it."""
    days = (7, 3, 1)
    return tuple(timedelta(days=number) for number in days if number < settings.EXPIRY_DAYS)


def warn_anew(route: Route) -> None:
    """Forget the warnings of all that waits on `route`: its time was no chance of being delivered."""
    Delivery.objects.filter(EXPIRES_SOON, route=route).update(**NOT_WARNED)


def warn(*, now: datetime, limit: int = 200) -> int:
    """Give the warnings that are due, one for each delivery, however many steps it has passed. Returns how many."""
    due = Q()
    for number, before in enumerate(steps(), 1):
        due |= Q(warned__lt=number, expires_at__lte=now + before)
    return sum(_warn(delivery, now=now) for delivery in _tried_in_vain().filter(due).order_by("expires_at")[:limit])


def expire(*, now: datetime, limit: int = 200) -> int:
    """Give up deliveries whose time is over and whose last warning is old enough. Returns how many."""
    over = _tried_in_vain().filter(_over(now))
    return sum(_expire(delivery, now=now) for delivery in over.order_by("expires_at")[:limit])


def _over(now: datetime) -> Q:
    return Q(expires_at__lte=now, warned__gte=len(steps()), warned_at__lte=now - LAST_NOTICE)


def _tried_in_vain() -> QuerySet[Delivery]:
    """Only where tries are possible: never tried is our own fault, and held is a person's wish."""
    rows = Delivery.objects.filter(
        state=DeliveryState.QUEUED, held=False, attempts__gt=0, route__state=RouteState.UP, route__held=False
    )
    return rows.filter(route__in=scope.routes()).select_related("message__author_mailbox__domain")


def _mine(delivery: Delivery, condition: Q) -> QuerySet[Delivery]:
    """The row if nothing happened to it since it was read: of two sweeps one acts."""
    return Delivery.objects.filter(
        condition, pk=delivery.pk, state=DeliveryState.QUEUED, held=False, warned=delivery.warned
    )


def _result(delivery: Delivery) -> Result:
    return Result(delivery.forward_path, Phase.RCPT, Outcome.PERMANENT, delivery.last_code, text=delivery.last_reply)


def _warn(delivery: Delivery, *, now: datetime) -> bool:
    left = delivery.expires_at - now
    number = sum(left <= before for before in steps())
    ends = max(delivery.expires_at, now + LAST_NOTICE) if number == len(steps()) else delivery.expires_at
    notice = bounce.delayed(delivery, _result(delivery), now=now, until=ends)
    with transaction.atomic():
        mine = _mine(delivery, Q(expires_at=delivery.expires_at))
        if not mine.update(warned=number, warned_at=now, expires_at=ends):
            return False
        if notice:
            ingest.store([notice], now=now)
        detail = {"expires_at": ends.isoformat(timespec="seconds"), "author_told": notice is not None}
        record(Tag.DELIVERY_WARNED, target=_target(delivery), detail=detail, at=now)
    return True


def _expire(delivery: Delivery, *, now: datetime) -> bool:
    reason = _("not delivered within %(days)d days") % {"days": settings.EXPIRY_DAYS}
    notice = bounce.failed(delivery, _result(delivery), now=now, expired=True)
    with transaction.atomic():
        mine = _mine(delivery, _over(now))
        if not mine.update(state=DeliveryState.EXPIRED, finished_at=now, reason=reason):
            return False
        if notice:
            ingest.store([notice], now=now)
        record(Tag.DELIVERY_EXPIRED, target=_target(delivery), detail={"days": settings.EXPIRY_DAYS}, at=now)
    return True


def _target(delivery: Delivery) -> Target:
    return Target("delivery", delivery.public_id, delivery.forward_path)
