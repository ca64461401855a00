"""Which indexes accepted mail pays for, and that queries of messages and deliveries find theirs, on both stores."""

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import QuerySet

from spool.models import Delivery, Message

FEWER = {
    "spool_message_author_id_b59f2daf",
    "spool_message_author_mailbox_id_61b6a86f",
    "spool_message_in_reply_to_id_5bd098a4",
    "spool_delivery_message_id_c714fde5",
}
NEW = {"message_mailbox", "message_replies"}
# On SQLite a unique constraint's index has a name of its own.
ONCE = ("delivery_recipient_once", "sqlite_autoindex_spool_delivery_2")


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        found = (
            connection.introspection.get_constraints(cursor, table) for table in ("spool_message", "spool_delivery")
        )
        return {name for table in found for name in table}


@pytest.mark.django_db(transaction=True)
def test_the_way_back_has_the_older_indexes() -> None:
    now = indexes()
    assert now >= NEW
    assert not now & FEWER
    try:
        call_command("migrate", "spool", "0007", verbosity=0)
        assert indexes() == now - NEW | FEWER
    finally:
        call_command("migrate", "spool", verbosity=0)
    assert indexes() == now


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (Message.objects.filter(author=1), ("message_outbox",)),
        (Message.objects.filter(author_mailbox=1), ("message_mailbox",)),
        (Message.objects.filter(in_reply_to__in=(1, 2, 3)), ("message_replies",)),
        (Message.objects.filter(in_reply_to__in=(1, 2, 3), author=1), ("message_replies", "message_outbox")),
        (Delivery.objects.filter(message=1), ONCE),
        (Delivery.objects.filter(message__in=(1, 2, 3)), ONCE),
    ],
    ids=("author", "mailbox", "replies", "own replies", "delivery", "deliveries"),
)
def test_a_query_finds_its_index(rows: "QuerySet[Message] | QuerySet[Delivery]", names: tuple[str, ...]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # an empty table is read quicker as a whole
        plan = rows.explain()
    assert any(name in plan for name in names), plan


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("table", "name"),
    [("spool_mailbox", "message_mailbox"), ("spool_message", "message_replies"), ("spool_message", ONCE[1])],
)
def test_the_check_of_a_foreign_key_reads_no_whole_table(table: str, name: str) -> None:
    """PostgreSQL does not show this plan; its check is the query above."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN DELETE FROM {table} WHERE id = 1")
            plan = repr(cursor.fetchall())
        assert name in plan
        assert "SCAN" not in plan
