"""Seals committed events into the hash chain. The only writer of seq, previous_hash, hash and the chain's head.

One sealer works at a time (SQLite: an IMMEDIATE transaction; PostgreSQL: an advisory lock held to the commit). An event
whose transaction commits late is sealed later: the chain orders events as they became visible.
"""

from datetime import datetime
from typing import Any

from django.db import connection, transaction

from audit.chain import GENESIS, Sealed, canonical_time, row_hash
from audit.models import ChainHead, Event

# Every column but the seal; a new column is hashed by itself, and a test holds the list to the documented form.
SEAL = ("seq", "previous_hash", "hash")
HASHED = tuple(field.attname for field in Event._meta.concrete_fields if field.attname not in SEAL)  # noqa: SLF001
LOCK = 0x65696E62_6F780001  # pg_advisory_xact_lock key: "einbox", 1

UPDATE = "UPDATE audit_event SET seq = %s, previous_hash = %s, hash = %s WHERE id = %s AND seq IS NULL"


class SealingError(Exception):
    """An event to be sealed was sealed by somebody without the lock; nothing was written."""


def hashed_fields(row: dict[str, Any]) -> dict[str, Any]:
    """The event as it is hashed and exported, from its columns; 63-bit keys become text, for JSON numbers end at 53."""
    event = dict(row)
    event["id"] = str(event["id"])
    event["actor_id"] = None if event["actor_id"] is None else str(event["actor_id"])
    event["at"] = canonical_time(event["at"])
    return event


def as_sealed(row: dict[str, Any]) -> Sealed:
    """A link of the chain from a row of HASHED + SEAL columns."""
    seq, previous_hash, digest = row.pop("seq"), row.pop("previous_hash"), row.pop("hash")
    return Sealed(seq=seq, previous_hash=previous_hash or "", hash=digest or "", event=hashed_fields(row))


def lock_chain() -> ChainHead:
    """The head, held by this transaction alone."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    return ChainHead.objects.get_or_create(pk=1, defaults={"hash": GENESIS})[0]


def seal(*, now: datetime, limit: int = 1000) -> int:
    """Seal up to `limit` committed events; the number sealed. One indexed look-up when there is nothing to do.

    Raises SealingError when an event changed under the lock, which only a writer outside einbox can do.
    """
    unsealed = Event.objects.filter(seq__isnull=True).order_by("id")
    if not unsealed.exists():
        return 0
    with transaction.atomic():
        head = lock_chain()
        links = []
        for row in unsealed.values(*HASHED)[:limit]:
            digest = row_hash(head.seq + 1, head.hash, hashed_fields(row))
            links.append((head.seq + 1, head.hash, digest, row["id"]))
            head.seq, head.hash = head.seq + 1, digest
        if not links:
            return 0
        with connection.cursor() as cursor:
            cursor.executemany(UPDATE, links)
            if cursor.rowcount != len(links):
                message = f"{len(links) - cursor.rowcount} of {len(links)} events were sealed elsewhere"
                raise SealingError(message)
        head.sealed_at = now
        head.save(update_fields=["seq", "hash", "sealed_at"])
    return len(links)
