"""Syncs that fail, disks that are full, writers that never end: the sender hears 4xx, and no 250 is without its row."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from spool.models import Delivery, Mailbox, Message
from spool.queue import content
from tests.bench.processes import pss_of_tree
from tests.doubles.locks import locked
from tests.doubles.smtpd import Client, ServerInThread, SmtpdProcess
from tests.doubles.syncs import Syncs
from tests.factories.spool import make_raw
from tests.waiting import wait_for

LOCKED = 30 if os.environ.get("SOAK") == "1" else 11  # seconds: longer than a sender may wait
LARGE = b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 20_000


def sent(client: Client, raw: bytes) -> str:
    return client.transaction(raw, "anna@example.test")


# The database server syncs for itself on PostgreSQL.
@pytest.mark.sqlite
def test_every_250_has_its_sync_and_a_failed_sync_is_a_451(anna: Mailbox, tmp_path: Path) -> None:
    syncs = Syncs(tmp_path)
    with SmtpdProcess(tmp_path, **syncs.environment) as process, Client(process.address) as client:
        before = syncs.count
        for _ in range(20):
            assert sent(client, make_raw()).startswith("250")
        assert syncs.count - before >= 20
        before = syncs.count
        assert sent(client, LARGE).startswith("250")
        assert syncs.count - before >= 3  # the file, its directory, the row
        syncs.fail(on=True)
        raws = [make_raw() for _ in range(5)]
        assert {sent(client, raw)[:9] for raw in raws} == {"451 4.3.0"}
        syncs.fail(on=False)
        assert {sent(client, raw)[:9] for raw in raws} == {"250 2.0.0"}
        assert process.process.poll() is None
    kept = [content.read(message) for message in Message.objects.all()]
    assert len(kept) == 20 + 1 + 5
    assert {*raws, LARGE} <= set(kept)


@pytest.mark.sqlite
def test_content_whose_file_cannot_be_synced_goes_into_the_database(anna: Mailbox, tmp_path: Path) -> None:
    with SmtpdProcess(tmp_path, EINBOX_FAILPOINTS="content.write=error") as process, Client(process.address) as client:
        assert sent(client, LARGE).startswith("250")
    message = Message.objects.get()
    assert (message.content_file, message.chunks.count() > 0) == ("", True)
    assert content.read(message) == LARGE


@contextmanager
def full_database() -> Iterator[Any]:
    """No connection made from now on can make the file larger; what is yielded gives room again."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # pages that earlier tests gave back are room, too
        cursor.execute("PRAGMA page_count")
        pages = cursor.fetchone()[0]
    made: list[Any] = []

    def limit(*, connection: Any, **_: Any) -> None:
        connection.cursor().execute(f"PRAGMA max_page_count = {pages + 200}")
        made.append(connection)

    connection_created.connect(limit, weak=False)
    try:
        yield lambda: connection_created.disconnect(limit)
    finally:
        connection_created.disconnect(limit)


@pytest.mark.sqlite
def test_a_full_database_is_a_4xx_and_reading_goes_on(anna: Mailbox) -> None:
    raws = [make_raw() + (b"x" * 998 + b"\r\n") * 50 for _ in range(60)]
    with full_database() as give_room, ServerInThread() as server, server.client() as client:
        replies = {raw: sent(client, raw)[:3] for raw in raws}
        assert set(replies.values()) == {"250", "451"}
        kept = {content.read(message) for message in Message.objects.all()}  # reads work
        assert kept == {raw for raw, reply in replies.items() if reply == "250"}
        give_room()
        assert {sent(client, raw)[:3] for raw in raws} == {"250"}
    assert Message.objects.count() == len(raws)


@pytest.mark.slow
@pytest.mark.sqlite
def test_a_writer_that_holds_the_database_costs_time_and_no_mail(anna: Mailbox, tmp_path: Path) -> None:
    answers: list[tuple[float, str, bytes]] = []
    with SmtpdProcess(tmp_path) as process:
        with Client(process.address) as client:
            assert sent(client, LARGE).startswith("250")
        before, most = pss_of_tree(process.process.pid), 0
        other = sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        over = time.monotonic() + LOCKED

        def send() -> None:
            with Client(process.address) as client:
                while time.monotonic() < over:
                    raw, began = make_raw(), time.monotonic()
                    reply = sent(client, raw)
                    answers.append((time.monotonic() - began, reply, raw))

        threads = [threading.Thread(target=send, daemon=True) for _ in range(10)]
        for thread in threads:
            thread.start()
        while time.monotonic() < over:
            most = max(most, pss_of_tree(process.process.pid))
            threads[0].join(0.2)
        other.execute("ROLLBACK")
        other.close()
        for thread in threads:
            thread.join(15)
        with Client(process.address) as client:
            for _, _, raw in answers:
                assert sent(client, raw).startswith("250")
    slowest, growth = max(seconds for seconds, _, _ in answers), most - before
    print(f"{LOCKED} s locked: {len(answers)} answers, slowest {slowest:.1f} s, {growth / 2**20:.1f} MiB more")
    first = [reply for _, reply, _ in answers if not reply.startswith("250")]
    assert len(first) >= 10
    assert {reply[:9] for reply in first} == {"451 4.3.0"}
    assert slowest < 12  # the promise is 10 s; it is held to the second where one sender waits (test_durability)
    assert growth < 10 * 4 * 2**20
    kept = {content.read(message) for message in Message.objects.all()}
    assert {raw for _, _, raw in answers} <= kept


def taken(client: Client, raw: bytes) -> bool:
    return sent(client, raw).startswith("250")


def test_mail_that_comes_again_while_its_first_commit_hangs_is_stored_once(anna: Mailbox) -> None:
    """Two lanes on PostgreSQL: without care the second writes beside the first, which it cannot see yet."""
    raws = [make_raw() for _ in range(5)]
    with ServerInThread(commit=0.3) as server, server.client() as client:
        for raw in raws:
            with locked():
                assert sent(client, raw).startswith("451 4.3.0")
                client.mail("anna@example.test")
                assert client.say("DATA").startswith("354")
                client.send(raw + b".\r\n")
            if not client.reply().startswith("250"):
                wait_for(partial(taken, client, raw))
    assert Delivery.objects.count() == Message.objects.count() == len(raws)
