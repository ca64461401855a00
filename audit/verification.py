"""Checks the whole chain in the database, streaming, and that sealing keeps up. Writes only the verdict.

Finds an event that was edited, moved, inserted or deleted, and a tail cut off without the head. Only a head or export
held elsewhere shows a chain that was rewritten as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import DataError, transaction
from django.db.models import QuerySet

from audit.chain import GENESIS, Break, Sealed, verify_segment
from audit.ids import EPOCH_MS, RANDOM_BITS
from audit.models import ChainHead, Event
from audit.record import record
from audit.sealing import HASHED, SEAL, as_sealed
from audit.tags import Tag

SEALED_WITHIN = timedelta(seconds=10)
LOWEST = -(2**63)  # a row below 1 is a break too
UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError, DataError)
CHUNK = 2000  # rows held in memory at a time
EPOCH = datetime.fromtimestamp(EPOCH_MS / 1000, UTC)


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check. `ok` is true when the chain holds and nothing waits too long for its seal."""

    checked: int
    head_hash: str
    broken_seq: int | None = None
    cause: str = ""
    unsealed: int = 0  # events older than SEALED_WITHIN without a seal
    unsealed_id: int | None = None  # the oldest of them

    @property
    def ok(self) -> bool:
        return self.broken_seq is None and not self.unsealed


def sealed_rows(*, from_seq: int = 1, to_seq: int | None = None, chunk: int = CHUNK) -> Iterator[Sealed]:
    """Sealed events in order of seq. Raises one of UNREADABLE where a column cannot be read."""
    rows = Event.objects.filter(seq__gte=from_seq)
    if to_seq is not None:
        rows = rows.filter(seq__lte=to_seq)
    for row in rows.order_by("seq").values(*HASHED, *SEAL).iterator(chunk_size=chunk):
        yield as_sealed(row)


class Walk:
    """Goes along the chain from behind `after` to `last`; remembers how far it verified, what stood at `head_seq`."""

    def __init__(self, head_seq: int, *, after: tuple[int, str] = (0, GENESIS), last: int | None = None) -> None:
        self.head_seq, self.last = head_seq, last
        self.seq, self.hash = after
        self.hash_at_head = GENESIS

    def rows(self, chunk: int) -> Iterator[Sealed]:
        for row in sealed_rows(from_seq=self.seq + 1 if self.seq else LOWEST, to_seq=self.last, chunk=chunk):
            yield row
            self.seq, self.hash = row.seq, row.hash  # asked for the next one: this one verified
            if row.seq == self.head_seq:
                self.hash_at_head = row.hash

    def to_the_end(self) -> Break | tuple[int, str]:
        """In chunks, then singly where a chunk cannot be read, so that the very event is named."""
        for chunk in (CHUNK, 1):
            try:
                return verify_segment(self.rows(chunk), after=(self.seq, self.hash))
            except UNREADABLE as error:
                cause = f"cannot be read ({type(error).__name__})"
        return Break(self.seq + 1, cause)


def check_chain() -> Break | tuple[int, str]:
    """The first Break of the stored chain, or its last (seq, hash). Sealing may go on meanwhile."""
    before = ChainHead.objects.filter(pk=1).first() or ChainHead(hash=GENESIS)
    walk = Walk(before.seq)
    found = walk.to_the_end()
    if isinstance(found, Break):
        return found
    after = ChainHead.objects.filter(pk=1).first() or ChainHead(hash=GENESIS)
    if found[0] < before.seq:
        return Break(found[0] + 1, f"missing: the chain was sealed up to {before.seq}")
    if found[0] > after.seq:
        return Break(after.seq + 1, f"the chain was sealed only up to {after.seq}")
    if walk.hash_at_head != before.hash:
        return Break(before.seq, "is not the event the chain's head names")
    return found


@dataclass(frozen=True)
class Standing:
    """What is known of the chain without checking it now: the latest verdict, and what waits for its seal too long."""

    broken_seq: int | None
    verified_seq: int
    verified_at: datetime | None
    unsealed: bool

    @property
    def ok(self) -> bool:
        return self.broken_seq is None and not self.unsealed


def standing(*, now: datetime) -> Standing:
    """Quick look-ups, for readiness and doctor. A head that was deleted is a break at the first event."""
    head = ChainHead.objects.filter(pk=1).first()
    late = _late(now).exists()
    if head is not None:
        return Standing(head.broken_seq, head.verified_seq or 0, head.verified_at, late)
    headless = Event.objects.filter(seq__isnull=False).exists()
    return Standing(1 if headless else None, 0, None, late)


def _late(now: datetime) -> QuerySet[Event]:
    """Events that wait longer than SEALED_WITHIN for their seal."""
    milliseconds = (now - SEALED_WITHIN - EPOCH) // timedelta(milliseconds=1)
    return Event.objects.filter(seq__isnull=True, id__lt=milliseconds << RANDOM_BITS)


def verify(*, now: datetime) -> Verdict:
    """Check everything, note the verdict at the chain's head, and record an event when it is bad."""
    found = check_chain()
    waiting = _late(now)
    oldest = waiting.order_by("id").values_list("id", flat=True).first()
    unsealed = waiting.count() if oldest is not None else 0
    if isinstance(found, Break):
        verdict = Verdict(max(found.seq - 1, 0), "", found.seq, found.cause, unsealed, oldest)
    else:
        verdict = Verdict(*found, unsealed=unsealed, unsealed_id=oldest)
    with transaction.atomic():
        ChainHead.objects.update_or_create(
            pk=1,
            defaults={"verified_at": now, "verified_seq": verdict.checked, "broken_seq": verdict.broken_seq},
            create_defaults={"hash": GENESIS, "verified_at": now, "verified_seq": 0, "broken_seq": verdict.broken_seq},
        )
        if not verdict.ok:
            cause = verdict.cause or f"{unsealed} events unsealed"
            record(
                Tag.AUDIT_VERIFY_FAILED, detail={"seq": verdict.broken_seq, "cause": cause}, outcome="failed", at=now
            )
    return verdict
