"""Direct inserts: every column comes from the model, and what was written reads back through the ORM."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Field
from django.utils import timezone

from spool.models import Delivery, Message, Outage
from spool.queue import ingest
from spool.queue.rows import Row, Table
from tests.factories.accounts import make_user
from tests.factories.spool import make_delivery, make_mailbox, make_message

pytestmark = pytest.mark.django_db

TABLES = [ingest.MESSAGES, ingest.DELIVERIES, ingest.CHUNKS, ingest.MERGES]
AWKWARD = "ü€😀 '\"\\ \t%s\\N;--"
MOMENT = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)


def sample(field: "Field[Any, Any]", *, filled: bool) -> Any:
    """A value at the edge of what `field` holds; not `filled`: the least, null where it may be."""
    kind = field.get_internal_type()
    if field.null and not filled:
        return None
    if field.is_relation:
        return field.related_model._default_manager.order_by("pk").values_list("pk", flat=True)[int(filled)]  # type: ignore[union-attr]
    if field.choices:
        return list(field.choices)[-1 if filled else 0][0]
    if kind == "BooleanField":
        return filled
    if kind == "DateTimeField":
        return MOMENT
    if kind == "GenericIPAddressField":
        return "2001:db8::1"
    if kind == "BinaryField":
        return bytes(range(256))[: field.max_length] if filled else b""
    if kind in ("CharField", "TextField"):
        # content lies in one home: the row with `content` has no file
        return AWKWARD[: field.max_length] if filled != (field.name == "content_file") else ""
    lowest, highest = connection.ops.integer_field_range(kind)
    return highest if filled else max(lowest, 1)  # nothing else has the key 1


def stage() -> None:
    """Two rows of everything that a column may point to."""
    for name, domain in (("anna", "example.test"), ("ben", "example.net")):
        box = make_mailbox(f"{name}@{domain}")
        make_user(email=f"{name}@{domain}")
        Outage.objects.create(route=box.domain.route, kind="detected", opened_at=MOMENT, closed_at=MOMENT)
        make_delivery(mailbox=box)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_each_directly_inserted_column_reads_back_through_the_orm(table: Table) -> None:
    stage()
    earlier = set(table.model._default_manager.values_list("pk", flat=True))
    rows = [tuple(sample(field, filled=filled) for field in table.given) for filled in (True, False)]
    table.insert(rows)
    written = table.model._default_manager.exclude(pk__in=earlier).order_by("pk")
    found = [tuple(plain(getattr(row, field.attname)) for field in table.given) for row in written]
    assert sorted(found, key=repr) == sorted(rows, key=repr)
    for row in written:
        for field in table.rest:
            assert getattr(row, field.attname) == field.get_default(), field.attname


def plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def test_every_column_is_inserted_but_what_the_database_makes() -> None:
    for table in TABLES:
        for field in set(table.model._meta.concrete_fields) - set(table.fields):
            made = field.get_internal_type() == "BigAutoField" or field.has_db_default()
            assert made, f"{table.name}.{field.attname}"


def test_a_row_that_the_database_refuses_raises_djangos_own_error() -> None:
    stored = make_message()
    with pytest.raises(IntegrityError), transaction.atomic():
        ingest.CHUNKS.insert([(stored.pk, 0, b"a"), (stored.pk, 0, b"b")])
    assert not stored.chunks.exists()


def many_deliveries(count: int) -> list[Row]:
    """Values of ingest.DELIVERIES, for a message that has one delivery already."""
    first = make_delivery()
    names = [field.attname for field in ingest.DELIVERIES.given]
    same = {"message_id": first.message_id, "direction": "inbound", "mailbox_id": None, "route_id": first.route_id}
    same |= {"outage_id": None, "created_at": MOMENT, "next_attempt_at": MOMENT, "expires_at": MOMENT}
    rows = []
    for n in range(1, count + 1):
        own = {"id": n, "forward_path": f"{n}@example.test", "unknown_recipient": n % 2 == 0}
        values = same | own | {"visible_at": MOMENT if n % 2 else None}
        rows.append(tuple(values[name] for name in names))
    return rows


@pytest.mark.parametrize("count", [1, 5, 64, 100, 201])
def test_any_number_of_rows_is_written_whole(count: int) -> None:
    rows = many_deliveries(count)
    ingest.DELIVERIES.insert(rows)
    names = [field.attname for field in ingest.DELIVERIES.given]
    assert list(Delivery.objects.filter(pk__lte=count).order_by("pk").values_list(*names)) == rows
    assert set(Delivery.objects.values_list("state", "attempts", "last_reply")) == {("queued", 0, "")}


@contextmanager
def few_parameters() -> Iterator[None]:
    """An SQLite that takes 300 in one statement; PostgreSQL, which has no such limit, as it is."""
    kind = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
    sqlite = connection.vendor == "sqlite"
    before = connection.connection.setlimit(kind, 300) if sqlite else 0
    try:
        yield
    finally:
        if sqlite:
            connection.connection.setlimit(kind, before)


def test_a_driver_that_takes_few_parameters_gets_few_rows_at_once() -> None:
    names = [field.attname for field in ingest.DELIVERIES.given][::-1]  # statements that were never prepared before
    rows = [row[::-1] for row in many_deliveries(100)]
    with few_parameters():
        Table(Delivery, *names).insert(rows)
    assert list(Delivery.objects.filter(pk__lte=100).order_by("pk").values_list(*names)) == rows


def test_a_default_that_is_called_is_called_for_each_row() -> None:
    first = make_delivery()
    second = make_message()
    ingest_without_key = Table(
        Delivery, "message_id", "forward_path", "route_id", "created_at", "next_attempt_at", "expires_at"
    )
    now = timezone.now()
    paths = [f"{name}@example.test" for name in "ab"]
    ingest_without_key.insert([(second.pk, path, first.route_id, now, now, now) for path in paths])
    assert list(second.deliveries.filter(forward_path__in=paths).order_by("pk").values_list("state", flat=True)) == [
        "queued",
        "queued",
    ]


def test_a_column_that_the_model_has_not_is_named() -> None:
    with pytest.raises(ValueError, match="Message has no column colour"):
        Table(Message, "id", "colour")
