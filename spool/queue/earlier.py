"""What the accept path asks the database of each batch: mail that it may repeat, and open outages.

In SQL, for Django's query compiler costs more per batch than the answers. Table and column names come from the
models. Runs inside the caller's transaction and writes nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model

from spool.enums import FINISHED, DeliveryState
from spool.models import Delivery, Message, Outage

LENGTHS = (1, 4, 16, 64, 256)  # of a list on SQLite; longer ones are rare
GIVEN_UP = frozenset(FINISHED) - {DeliveryState.DELIVERED}
Key = tuple[bytes, str]  # content hash, reverse-path in lower case


@dataclass
class Earlier:
    """An earlier message with the same content and reverse-path."""

    message_id: int
    purged: bool = False
    deliveries: dict[str, int] = field(default_factory=dict)  # forward-path in lower case -> delivery id
    given_up: set[str] = field(default_factory=set)  # those whose mail reached nobody, and will not


def messages(digests: Collection[bytes], *, since: datetime) -> dict[Key, list[Earlier]]:
    """Mail from outside with one of these content hashes, accepted after `since`, oldest first, with its deliveries.

    On PostgreSQL the rows are locked, so that nobody erases a message while it is given another recipient; and so are
    the hashes, so that of two transactions with the same new content the second finds what the first wrote.
    """
    found: dict[Key, list[Earlier]] = defaultdict(list)
    if not digests:
        return found
    if connection.vendor == "postgresql":
        _take_turns(digests)
    hash_, path, at = _columns(Message, "content_hash", "reverse_path", "accepted_at")
    [purged, author] = _columns(Message, "purged_at", "author_id")
    lock = " FOR UPDATE" if connection.features.has_select_for_update else ""
    wanted = _padded(digests)
    # What was written here is left out below: a condition on the author leads SQLite's planner to that index, and
    # with it through every message there is.
    rows = _rows(
        f"SELECT id, {hash_}, {path}, {purged} IS NOT NULL, {author} FROM {_table(Message)} "  # noqa: S608 - our models
        f"WHERE {hash_} IN ({_marks(wanted)}) AND {at} > %s ORDER BY {at}, id{lock}",
        [*wanted, connection.ops.adapt_datetimefield_value(since)],
    )
    by_id: dict[int, Earlier] = {}
    for pk, digest, reverse_path, is_purged, author_id in rows:
        if author_id is not None:
            continue
        by_id[pk] = Earlier(pk, bool(is_purged))
        found[bytes(digest), reverse_path.lower()].append(by_id[pk])
    for pk, message_id, forward_path, state in _deliveries(list(by_id)):
        by_id[message_id].deliveries[forward_path.lower()] = pk
        if state in GIVEN_UP:
            by_id[message_id].given_up.add(forward_path.lower())
    return found


def _take_turns(digests: Collection[bytes]) -> None:
    """Wait until nobody else stores one of these contents, then keep others waiting until the transaction ends.

    In one order everywhere, so that nobody waits in a circle. A statement of its own: the next one sees what was
    committed meanwhile.
    """
    keys = sorted(int.from_bytes(digest[:8], "big", signed=True) for digest in digests)
    with connection.cursor() as cursor:
        # As text, which the driver copies as it is; no rows come back, for what is void is not null.
        statement = "SELECT FROM unnest(%s::bigint[]) AS key WHERE pg_advisory_xact_lock(key) IS NULL"
        cursor.execute(statement, [f"{{{','.join(map(str, keys))}}}"])


def _deliveries(message_ids: Sequence[int]) -> list[tuple[Any, ...]]:
    if not message_ids:
        return []
    wanted = _padded(message_ids)
    message, path, state = _columns(Delivery, "message_id", "forward_path", "state")
    return _rows(
        f"SELECT id, {message}, {path}, {state} FROM {_table(Delivery)} WHERE {message} IN ({_marks(wanted)})",  # noqa: S608
        wanted,
    )


def open_outages(route_ids: Collection[int]) -> dict[int, int]:
    """The open outage of each route that has one."""
    if not route_ids:
        return {}
    wanted = _padded(route_ids)
    route, closed = _columns(Outage, "route_id", "closed_at")
    return dict(
        _rows(
            f"SELECT {route}, id FROM {_table(Outage)} WHERE {closed} IS NULL AND {route} IN ({_marks(wanted)})",  # noqa: S608
            wanted,
        )
    )


@cache
def _table(model: type[Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001 - Django's documented model API


@cache
def _columns(model: type[Model], *names: str) -> list[str]:
    """Quoted columns of fields named by their attributes. Raises FieldDoesNotExist."""
    fields = [model._meta.get_field(name.removesuffix("_id")) for name in names]  # noqa: SLF001 - as above
    return [connection.ops.quote_name(str(field.column)) for field in fields]  # type: ignore[union-attr]


def _padded(values: Collection[Any]) -> list[Any]:
    """On SQLite the last value repeated up to one of few lengths, so that the driver keeps each statement prepared."""
    padded = list(values)
    if connection.vendor == "sqlite":
        length = next((length for length in LENGTHS if length >= len(padded)), 0)
        padded += padded[-1:] * (length - len(padded))
    return padded


def _marks(values: Collection[object]) -> str:
    return ", ".join(["%s"] * len(values))


def _rows(statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
