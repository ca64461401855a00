"""Checks the chain without being asked, in slices that hold nothing up: new events every few minutes, all once a day.

The point reached is remembered in the database, so that a restart goes on from there; what an intruder writes into
that row, the daily round from the first event on finds out. Writes verdicts, never events that exist.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction

from audit.chain import GENESIS, Break
from audit.models import ChainHead, ChainPatrol, Event
from audit.record import record
from audit.tags import Tag
from audit.verification import Walk

log = logging.getLogger(__name__)

SLICE = 1000  # events of one step: some 40 ms
NEW_EVERY = timedelta(minutes=2)
ALL_EVERY = timedelta(days=1)


def step(*, now: datetime, size: int = SLICE) -> bool:
    """One slice of what is due; whether anything was. A break is an event, once, and an error in the log."""
    patrol = ChainPatrol.objects.get_or_create(pk=1, defaults={"hash": GENESIS, "round_hash": GENESIS})[0]
    head = ChainHead.objects.filter(pk=1).first()
    if head is None:
        if not Event.objects.filter(seq__isnull=False).exists():
            return False
        head = ChainHead(hash=GENESIS)  # deleted: whatever is sealed stands behind it
    if patrol.round_began is not None or _is_due(patrol.round_ended, ALL_EVERY, now):
        _step_of_round(patrol, head, now=now, size=size)
    elif _is_due(patrol.at, NEW_EVERY, now):
        _step_of_new(patrol, head, now=now, size=size)
    else:
        return False
    return True


def _is_due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    """Times ahead are of a clock that was set back."""
    return last is None or not last <= now < last + every


def _step_of_new(patrol: ChainPatrol, head: ChainHead, *, now: datetime, size: int) -> None:
    found = _slice((patrol.seq, patrol.hash), head, size)
    if isinstance(found, Break):
        patrol.at = now
        _broken(patrol, found, now=now)
        return
    patrol.seq, patrol.hash = found
    if patrol.seq >= head.seq:
        patrol.at = now
    _save(patrol, now=now)


def _step_of_round(patrol: ChainPatrol, head: ChainHead, *, now: datetime, size: int) -> None:
    if patrol.round_began is None:
        patrol.round_began, patrol.round_seq, patrol.round_hash = now, 0, GENESIS
    found = _slice((patrol.round_seq, patrol.round_hash), head, size)
    if not isinstance(found, Break) and found[0] >= head.seq:
        found = _beyond() or found
    if isinstance(found, Break):
        patrol.round_began, patrol.round_ended = None, now
        _broken(patrol, found, now=now)
        return
    patrol.round_seq, patrol.round_hash = found
    if patrol.round_seq >= head.seq:
        patrol.seq, patrol.hash, patrol.at = *found, now
        patrol.round_began, patrol.round_ended, patrol.broken_seq = None, now, None
        ChainHead.objects.filter(pk=1).update(broken_seq=None)
    _save(patrol, now=now)


def _slice(after: tuple[int, str], head: ChainHead, size: int) -> Break | tuple[int, str]:
    """Up to `size` events behind `after`, none of them behind the head; the first Break, or where it got to."""
    last = min(after[0] + size, head.seq)
    if after[0] > head.seq:
        return Break(head.seq + 1, f"the chain was sealed only up to {head.seq}")
    walk = Walk(head.seq, after=after, last=last)
    found = walk.to_the_end()
    if isinstance(found, Break):
        return found
    if found[0] < last:
        return Break(found[0] + 1, f"missing: the chain was sealed up to {head.seq}")
    if found[0] == head.seq and found[1] != head.hash:
        return Break(head.seq, "is not the event the chain's head names")
    return found


def _beyond() -> Break | None:
    """Sealed events outside of 1 to the head, which sealing never makes."""
    if Event.objects.filter(seq__lt=1).exists():
        return Break(0, "stands before the first event")
    # Read again: sealing may have gone on.
    head = ChainHead.objects.filter(pk=1).first() or ChainHead(hash=GENESIS)
    if Event.objects.filter(seq__gt=head.seq).exists():
        return Break(head.seq + 1, f"the chain was sealed only up to {head.seq}")
    return None


def _save(patrol: ChainPatrol, *, now: datetime) -> None:
    patrol.save()
    if patrol.broken_seq is None and patrol.at == now:
        ChainHead.objects.filter(pk=1, broken_seq=None).update(verified_at=now, verified_seq=patrol.seq)


@transaction.atomic
def _broken(patrol: ChainPatrol, found: Break, *, now: datetime) -> None:
    log.error("the audit chain breaks at event %d: %s", found.seq, found.cause)
    if patrol.broken_seq != found.seq:
        record(Tag.AUDIT_VERIFY_FAILED, detail={"seq": found.seq, "cause": found.cause}, outcome="failed", at=now)
    patrol.broken_seq = found.seq
    patrol.save()
    verdict = {"verified_at": now, "verified_seq": max(found.seq - 1, 0), "broken_seq": found.seq}
    ChainHead.objects.filter(pk=1).update(**verdict)
