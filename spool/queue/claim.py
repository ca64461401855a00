"""Taking deliveries out of the queue for one try, by lease, and getting them back when the holder is gone.

The claim and its Attempt rows are one commit before anybody dials (rule 5). Every claim has a token of its own;
whoever comes late with an old token changes no row. Knows nothing of SMTP.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from spool.enums import DeliveryState, Direction, Outcome, Phase
from spool.ids import new_id
from spool.models import Attempt, Delivery, Message, Route
from spool.queue import leases
from spool.queue.schedule import LAST_DELAY

LEASE_SECONDS = 30.0  # a crashed holder delays its mail by at most this and one sweep; live ones renew
FARTHEST = 2 * LAST_DELAY  # no next attempt is planned later than this
MAX_RECIPIENTS = 100  # in one transaction: what every server must take (RFC 5321 section 4.5.3.1.8)
MAX_OCTETS = 64 * 2**20  # of content in one claim, but always one message


@dataclass(frozen=True)
class Job:
    """Recipients of one message for one SMTP transaction."""

    message: Message
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True)
class Claim:
    """Deliveries that are ours until their lease runs out."""

    token: int
    jobs: tuple[Job, ...]

    @property
    def count(self) -> int:
        return sum(len(job.deliveries) for job in self.jobs)


def due(route: Route, direction: Direction, *, now: datetime) -> QuerySet[Delivery]:
    """What may be tried now, oldest first by the order of `delivery_due`."""
    return Delivery.objects.filter(
        route=route, direction=direction, state=DeliveryState.QUEUED, held=False, next_attempt_at__lte=now
    )


def claim(route: Route, direction: Direction, *, messages: int, host: str, now: datetime) -> Claim:
    """Lease the due deliveries of up to `messages` messages, and write their attempts, in one commit."""
    token = new_id()
    with transaction.atomic():
        rows = due(route, direction, now=now)
        chosen = _oldest(rows, messages)
        # Locked rows belong to another claim or to a person's act that is about to commit.
        free = rows.filter(message__in=chosen).select_for_update(skip_locked=True)
        ids = list(free.order_by("next_attempt_at", "pk").values_list("pk", flat=True))
        until = now + timedelta(seconds=LEASE_SECONDS)
        Delivery.objects.filter(pk__in=ids, state=DeliveryState.QUEUED).update(
            state=DeliveryState.LEASED, lease_token=token, lease_until=until, attempts=F("attempts") + 1
        )
        mine = list(_leased(token).select_related("message").order_by("message_id", "pk"))
        Attempt.objects.bulk_create(
            Attempt(delivery=delivery, number=delivery.attempts, started_at=now, host=host[:262]) for delivery in mine
        )
    return Claim(token, tuple(_jobs(mine)))


def _oldest(rows: QuerySet[Delivery], messages: int) -> list[int]:
    """Ids of the first `messages` messages, as far as they fit into MAX_OCTETS."""
    head = rows.order_by("next_attempt_at", "pk").values_list("message_id", "message__size")[: messages * 4]
    chosen: dict[int, int] = {}
    for message_id, size in head:
        if message_id in chosen:
            continue
        if len(chosen) == messages or (chosen and sum(chosen.values()) + size > MAX_OCTETS):
            break
        chosen[message_id] = size
    return list(chosen)


def _jobs(deliveries: Iterable[Delivery]) -> Iterable[Job]:
    for _message_id, group in groupby(deliveries, key=lambda delivery: delivery.message_id):
        rows = tuple(group)
        for start in range(0, len(rows), MAX_RECIPIENTS):
            yield Job(rows[0].message, rows[start : start + MAX_RECIPIENTS])


def _leased(token: int) -> QuerySet[Delivery]:
    return Delivery.objects.filter(lease_token=token, state=DeliveryState.LEASED)


def renew(token: int, *, now: datetime) -> int:
    """Keep what is left of a claim for another LEASE_SECONDS. Returns how many rows are still ours."""
    mine = _leased(token).filter(lease_until__gt=now)
    return mine.update(lease_until=now + timedelta(seconds=LEASE_SECONDS))


def give_back(deliveries: Iterable[Delivery], token: int, *, now: datetime) -> None:
    """Return deliveries that were never dialled for; their attempts leave no trace."""
    ids = [delivery.pk for delivery in deliveries]
    with transaction.atomic():
        mine = list(_leased(token).filter(pk__in=ids).select_for_update())
        for delivery in mine:
            Attempt.objects.filter(delivery=delivery, number=delivery.attempts).delete()
        _leased(token).filter(pk__in=[delivery.pk for delivery in mine]).update(
            state=DeliveryState.QUEUED, lease_until=None, next_attempt_at=now, attempts=F("attempts") - 1
        )


def pull_in(route: Route, *, now: datetime) -> int:
    """Make due what waits for a time that no plan gives: it was put off before the clock was set back."""
    ahead = Delivery.objects.filter(route=route, state=DeliveryState.QUEUED, next_attempt_at__gt=now + FARTHEST)
    return ahead.update(next_attempt_at=now)


def recover(*, now: datetime, limit: int = 500) -> int:
    """Requeue deliveries whose holder is gone. Returns how many.

    How far the holder came is unknown (it may have died after the final dot), so each cut attempt counts as
    ambiguous: copies never exceed one plus the ambiguous attempts. A lease that ends far ahead was taken before the
    clock was set back.
    """
    with transaction.atomic():
        over = Q(lease_until__lte=now) | Q(lease_until__gt=now + timedelta(seconds=LEASE_SECONDS) + leases.CLOCK_SKEW)
        expired = Delivery.objects.filter(over, state=DeliveryState.LEASED)
        ids = list(expired.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
        Attempt.objects.filter(delivery__in=ids, finished_at__isnull=True).update(
            finished_at=now,
            outcome=Outcome.AMBIGUOUS,
            phase=Phase.DOT,
            text=_("cut off: the process ended, how far it came is unknown"),
        )
        return Delivery.objects.filter(pk__in=ids, state=DeliveryState.LEASED).update(
            state=DeliveryState.QUEUED, lease_until=None, lease_token=0, next_attempt_at=now
        )
