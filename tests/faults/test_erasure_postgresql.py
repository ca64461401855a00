"""What a private PostgreSQL server's files hold of a mail, while it waits and after its purge (D1), octet by octet."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from spool.enums import DeliveryState
from spool.models import Mailbox, Message
from spool.queue import parsing
from spool.queue.purge import housekeeping
from tests.doubles.postgresql import PostgresServer
from tests.doubles.smtpd import Client, SmtpdProcess
from tests.factories.spool import make_domain, make_mailbox, make_route
from tests.spool.queue.test_erasure import PLANTED, in_tables, mail

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.untraced]

SIZES = (500, 20_000, 150_000)  # octets: in the row, beside it (TOAST), in a file
# What docs/architecture.md tells an operator who wants nothing to linger.
REWRITE = "VACUUM FULL spool_message, spool_messagetext, spool_contentchunk, spool_searchindex"


@pytest.fixture
def server(django_db_blocker: DjangoDbBlocker) -> Iterator[PostgresServer]:
    """It removes segments of its log instead of using them again."""
    with (
        PostgresServer(wal_recycle="off", min_wal_size="32MB", autovacuum="off") as running,
        django_db_blocker.unblock(),
        running.migrated(),
    ):
        yield running


@pytest.fixture
def anna(server: PostgresServer) -> Mailbox:
    make_domain("example.test", route=make_route(name="example.test", state="down"))
    return make_mailbox("anna@example.test")


def in_server(server: PostgresServer, *needles: bytes) -> list[set[str]]:
    """Kinds of files of the whole server that hold each needle."""
    server.run("CHECKPOINT")
    found: list[set[str]] = [set() for _ in needles]
    for path in server.data.rglob("*"):
        if path.is_file():
            octets = path.read_bytes()
            for needle, kinds in zip(needles, found, strict=True):
                if needle in octets:
                    kinds.add(path.relative_to(server.data).parts[0])
    return found


def accept(address: str, home: Path) -> None:
    with SmtpdProcess(home) as process, Client(process.address) as client:
        for size in SIZES:
            assert client.transaction(mail(size), address).startswith("250")


def lexemes() -> list[bytes]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT unnest(tsvector_to_array(terms)) FROM spool_searchindex")
        return [word.encode() for (word,) in cursor.fetchall()]


def purge_all() -> None:
    long_ago = timezone.now() - timedelta(hours=settings.SAFETY_COPY_HOURS + 1)
    for message in Message.objects.all():
        message.deliveries.update(state=DeliveryState.DELIVERED, finished_at=long_ago)
    Message.objects.update(accepted_at=long_ago)
    housekeeping(now=timezone.now())
    assert not Message.objects.filter(purged_at__isnull=True).exists()


def test_what_the_servers_files_hold_before_and_after_the_purge(
    server: PostgresServer, anna: Mailbox, tmp_path: Path
) -> None:
    accept(anna.address, tmp_path)
    parsing.sweep(now=timezone.now())
    messages = list(Message.objects.all())
    assert all(PLANTED in str(parsing.load(message)) for message in messages)  # read, and so extracted and kept
    keys = [bytes(message.content_key or b"") for message in messages]
    secret = [PLANTED.encode(), PLANTED.lower().encode(), PLANTED.encode("utf-16-le")]
    assert in_server(server, *secret) == [set()] * 3  # not even while it waits, nor in the server's log
    words = lexemes()
    assert len(words) > 3
    # The controls: the search sees what is there, in tables, in the tables' files and in the server's log.
    assert [in_tables(key) for key in keys] == [["spool_message"]] * len(keys)
    assert in_server(server, *keys) == [{"base", "pg_wal"}] * len(keys)
    assert all("base" in kinds for kinds in in_server(server, *words))

    purge_all()
    assert [in_tables(key) for key in keys] == [[]] * len(keys)
    assert lexemes() == []
    assert any(in_server(server, *keys))  # as the papers say: what is free is not written over at once

    with connection.cursor() as cursor:
        cursor.execute(REWRITE)  # as the product's own role
    server.run("SELECT pg_switch_wal()")
    assert in_server(server, *keys, *words) == [set()] * len(keys + words)
    assert in_server(server, b"harmless") == [{"base"}]  # the row with its subject stays
