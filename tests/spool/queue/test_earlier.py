"""The look-up of mail that a batch may repeat stays on its index, and sees what another transaction stores just now."""

import threading
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from spool.models import MergedAcceptance, Message
from spool.queue import earlier, ingest
from spool.queue.ingest import Incoming, Recipient, Stored
from tests.factories.spool import make_mailbox, make_raw
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db


def plan(statement: str) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
        else:
            cursor.execute("SET LOCAL enable_seqscan = off")  # an empty table is read quicker as a whole
            cursor.execute(f"EXPLAIN {statement}")
        return repr(cursor.fetchall())


@pytest.mark.parametrize("count", [1, 7, 50, 500])
def test_merges_are_found_by_their_content_hash(count: int) -> None:
    with CaptureQueriesContext(connection) as queries:
        earlier.messages(
            [number.to_bytes(32, "big") for number in range(count)], since=datetime(2026, 1, 1, tzinfo=UTC)
        )
    assert "message_merge" in plan(queries[-1]["sql"])


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_new_content_that_arrives_in_two_transactions_at_once_is_stored_once() -> None:
    box = make_mailbox()
    recipient = Recipient(box.address, box.domain.route_id, box.pk)
    mails = [Incoming(make_raw(), (recipient,), "erika@outside.test") for _ in range(5)]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    second: list[Stored] = []

    def store_again() -> None:
        try:
            with transaction.atomic():
                second.extend(ingest.store(mails[::-1], now=now))
        finally:
            connection.close()

    def waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database"
                " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
            )
            return bool(cursor.fetchone()[0])

    thread = threading.Thread(target=store_again)
    with transaction.atomic():
        first = ingest.store(mails, now=now)
        thread.start()
        wait_for(waiting)
    thread.join(10)
    assert [one.merged_ids for one in second[::-1]] == [one.delivery_ids for one in first]
    assert (Message.objects.count(), MergedAcceptance.objects.count()) == (5, 5)
