"""The look-up of mail that a batch may repeat stays on its index, however many messages there are."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from spool.queue import earlier

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
    assert "message_merge" in plan(queries[0]["sql"])
