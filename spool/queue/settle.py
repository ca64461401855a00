"""Writes what a next hop answered: each recipient by its own reply, a group of answers in one transaction.

Rows whose lease was lost meanwhile stay as they are: somebody else has them. Sends nothing.
"""

import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Coalesce

from audit.record import Target, record
from audit.tags import Tag
from spool.enums import DeliveryState, Direction
from spool.failpoints import failpoint
from spool.ids import encode
from spool.models import Attempt, Delivery
from spool.queue import bounce, ingest, learned
from spool.queue.deliver import Sent
from spool.queue.schedule import retry_delay
from spool.smtp.client import Result
from spool.smtp.replies import TOO_MANY_RECIPIENTS, Outcome, Phase

log = logging.getLogger(__name__)
_dice = random.SystemRandom()

# The host, not this mail, was in trouble: the route's state decides when to come back, not the age of the mail.
HOST_TROUBLE = frozenset({Phase.CONNECT, Phase.GREETING, Phase.STARTTLS, Phase.AUTH})
HOST_PAUSE = timedelta(seconds=5)


@dataclass(frozen=True)
class Tally:
    """How many recipients of a group ended how."""

    delivered: int = 0
    put_off: int = 0
    refused: int = 0
    ambiguous: int = 0

    def __str__(self) -> str:
        known = f"{self.delivered} delivered, {self.put_off} put off, {self.refused} refused"
        return f"{known}, {self.ambiguous} without an answer"

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(left + right for left, right in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def total(self) -> int:
        return self.delivered + self.put_off + self.refused + self.ambiguous


def settle(group: Sequence[Sent], token: int, *, now: datetime) -> Tally:
    """Record the answers of `group`. Raises what the database raises; then nothing of it was recorded."""
    pairs = [(delivery, result, sent) for sent in group for delivery, result in _pairs(sent)]
    notices = {delivery.pk: bounce.failed(delivery, result, now=now) for delivery, result, _ in _bounced(pairs)}
    failpoint("deliver.before_commit")
    done: list[tuple[Delivery, str]] = []
    recorded: list[tuple[Delivery, Result]] = []
    with transaction.atomic():
        for delivery, result, sent in pairs:
            if not _apply(delivery, result, token, now):
                log.warning("delivery %s: the lease was lost, its answer is not recorded", delivery.public_id)
                continue
            recorded.append((delivery, result))
            _close_attempt(delivery, result, sent.host, now)
            if result.outcome is Outcome.DELIVERED:
                done.append((delivery, sent.host))
            else:
                _record_refusal(delivery, result, now)
        ingest.store([notice for notice in notices.values() if notice], now=now)
        _record_batch(done, now)
    failpoint("deliver.after_commit")
    learned.note(recorded, now=now)
    return _tally(result for _, result, _ in pairs)


def _pairs(sent: Sent) -> Iterable[tuple[Delivery, Result]]:
    return zip(sent.job.deliveries, sent.results, strict=True)


def _bounced(
    pairs: Iterable[tuple[Delivery, Result, Sent]],
) -> Iterable[tuple[Delivery, Result, Sent]]:
    return (pair for pair in pairs if pair[0].direction == Direction.OUTBOUND and state_after(*pair[:2]) == "bounced")


def state_after(delivery: Delivery, result: Result) -> DeliveryState:
    """Rule 5: only a 250 delivers; what the primary refuses for good, or cannot carry, waits for a person."""
    if result.outcome is Outcome.DELIVERED:
        return DeliveryState.DELIVERED
    if result.uncarriable:
        return DeliveryState.REVIEW
    if result.outcome is Outcome.PERMANENT:
        return DeliveryState.BOUNCED if delivery.direction == Direction.OUTBOUND else DeliveryState.REVIEW
    return DeliveryState.QUEUED


def next_attempt(delivery: Delivery, result: Result, *, now: datetime) -> datetime:
    """When a delivery that was put off is due again."""
    if result.phase in HOST_TROUBLE:
        return now + HOST_PAUSE
    if result.phase is Phase.RCPT and result.code == TOO_MANY_RECIPIENTS:
        return now  # RFC 5321 section 4.5.3.1.10: the rest goes in another transaction
    return now + retry_delay(delivery.attempts, dice=_dice.random())


def _apply(delivery: Delivery, result: Result, token: int, now: datetime) -> bool:
    state = state_after(delivery, result)
    changes: dict[str, Any] = {
        "state": state,
        "lease_until": None,
        "last_code": result.code,
        "last_reply": result.text[:512],
        "finished_at": now if state in (DeliveryState.DELIVERED, DeliveryState.BOUNCED) else None,
    }
    if state == DeliveryState.QUEUED:
        changes["next_attempt_at"] = next_attempt(delivery, result, now=now)
    if state != DeliveryState.DELIVERED and delivery.direction == Direction.INBOUND:
        changes["visible_at"] = Coalesce("visible_at", Value(now))  # a first try failed: its owner sees it
    mine = Delivery.objects.filter(pk=delivery.pk, lease_token=token, state=DeliveryState.LEASED)
    return bool(mine.update(**changes))


def _close_attempt(delivery: Delivery, result: Result, host: str, now: datetime) -> None:
    Attempt.objects.filter(delivery=delivery, number=delivery.attempts).update(
        finished_at=now,
        host=host[:262],
        phase=result.phase.value,
        outcome=result.outcome.value,
        code=result.code,
        enhanced=result.enhanced[:16],
        text=result.text[:512],
    )


def _record_refusal(delivery: Delivery, result: Result, now: datetime) -> None:
    state = state_after(delivery, result)
    target = Target("delivery", delivery.public_id, delivery.forward_path)
    if state == DeliveryState.REVIEW:
        record(Tag.DELIVERY_REVIEW, target=target, detail={"code": result.code or result.text}, at=now)
    elif state == DeliveryState.BOUNCED:
        record(Tag.DELIVERY_BOUNCED, target=target, detail={"reason": f"{result.code} {result.text}"}, at=now)


def _record_batch(done: Sequence[tuple[Delivery, str]], now: datetime) -> None:
    """Machine work enters the chain as one event per group (rule 10)."""
    if not done:
        return
    rows = sorted((delivery for delivery, _ in done), key=lambda delivery: delivery.pk)
    detail = batch_detail((row.pk, bytes(row.message.content_hash)) for row in rows) | {"host": done[0][1]}
    record(Tag.BATCH_DELIVERED, target=Target("route", str(rows[0].route_id)), detail=detail, at=now)


def batch_detail(rows: Iterable[tuple[int, bytes]]) -> dict[str, Any]:
    """Count, first and last id, and SHA-256 over ids and content hashes, of rows in the order of their ids."""
    root, ids = sha256(), []
    for pk, digest in rows:
        root.update(pk.to_bytes(8, "big") + digest)
        ids.append(pk)
    return {"count": len(ids), "first": encode(ids[0]), "last": encode(ids[-1]), "root": root.hexdigest()}


def _tally(results: Iterable[Result]) -> Tally:
    counts = dict.fromkeys(Outcome, 0)
    for result in results:
        counts[result.outcome] += 1
    return Tally(
        delivered=counts[Outcome.DELIVERED],
        put_off=counts[Outcome.TRANSIENT],
        refused=counts[Outcome.PERMANENT],
        ambiguous=counts[Outcome.AMBIGUOUS],
    )
