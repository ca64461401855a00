"""250 means durable: locks, lost replies, guilty batches (rule 1, F5, F6, F17). Kills: tests/faults."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.db.models import Count
from django.test import override_settings

from accounts.crypto import content_hash
from spool.models import Counter, Delivery, Mailbox, MergedAcceptance, Message
from spool.queue import content, ingest
from spool.queue.ingest import Incoming, Ready, Recipient, Stored
from spool.smtpd import committer
from spool.smtpd.committer import Committer
from spool.smtpd.frames import Take, Written
from tests.doubles.locks import locked
from tests.doubles.smtpd import Client, ServerInThread, SmtpdProcess
from tests.factories.spool import make_mailbox, make_raw
from tests.waiting import wait_for

BODY = b"0123456789 body\r\n" * 20_000  # more than one read of a socket


@dataclass
class Ledger:
    """What one sender offered, and what it was promised."""

    offered: dict[str, bytes] = field(default_factory=dict)
    promised: set[str] = field(default_factory=set)

    def send(self, client: Client, name: str) -> None:
        raw = self.offered.setdefault(name, b"Subject: " + name.encode() + b"\r\n\r\n" + BODY)
        if client.transaction(raw, "anna@example.test").startswith("250"):
            self.promised.add(name)

    def lost(self) -> set[str]:
        """Promises that are not kept, octet by octet."""
        kept = {message.subject: content.read(message) for message in Message.objects.all()}
        return {name for name in self.promised if kept.get(name) != self.offered[name]}


def test_large_mail_survives_the_kill_after_its_250(anna: Mailbox, tmp_path: Path) -> None:
    raw = b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 20_000
    with SmtpdProcess(tmp_path, EINBOX_FAILPOINTS="smtpd.after_reply=kill:1") as process:
        with Client(process.address) as client:
            assert client.transaction(raw, "anna@example.test").startswith("250")
        process.ended()
    message = Message.objects.get()
    assert message.content_file
    assert content.read(message) == raw


def test_a_locked_database_is_a_451_within_ten_seconds(server: ServerInThread) -> None:
    with server.client() as client:
        client.mail("anna@example.test")
        raw = make_raw()
        began = time.monotonic()
        with locked():
            assert client.data(raw) == "451 4.3.0 Cannot take this mail now; try again later"
            assert time.monotonic() - began < 10
        assert client.transaction(raw, "anna@example.test").startswith("250")
    assert wait_for(Delivery.objects.count) == 1


def test_a_451_given_by_the_clock_merges_when_the_mail_was_kept_after_all(anna: Mailbox) -> None:
    with ServerInThread(commit=0.3) as server, server.client() as client:
        raw = make_raw()
        client.mail("anna@example.test")
        with locked():
            assert client.data(raw).startswith("451 4.3.0")
        wait_for(lambda: Message.objects.count() == 1)  # the commit was only waiting
        assert client.transaction(raw, "anna@example.test").startswith("250")
    assert (Delivery.objects.count(), MergedAcceptance.objects.count()) == (1, 1)


@pytest.mark.untraced
def test_five_hundred_retries_after_a_lost_250_are_merged_and_visible_once(anna: Mailbox) -> None:
    """Two recipients each: `merged` is counted for each of them, and each sees one line."""
    make_mailbox("berta@example.test")
    people = ("anna@example.test", "berta@example.test")
    raws = [make_raw() for _ in range(500)]
    with ServerInThread(sessions_per_client=1000, sessions=1000) as server:
        for raw in raws:
            client = server.client()
            client.mail(*people)
            client.say("DATA")
            client.send(raw + b".\r\n")
            client.close()  # the 250 is never read
        wait_for(lambda: Message.objects.count() == len(raws), 30)
        with server.client() as client:
            for raw in raws:
                assert client.transaction(raw, *people).startswith("250 2.0.0")
        server.server.counters.flush()
    visible = Delivery.objects.filter(visible_at__isnull=False)
    assert [visible.filter(forward_path=path).count() for path in people] == [500, 500]
    assert Message.objects.count() == 500
    merged = MergedAcceptance.objects.values("delivery").annotate(times=Count("pk"))
    assert [row["times"] for row in merged] == [1] * 1000
    assert Counter.objects.get(name="smtpd.merged").value == 1000


def test_many_sessions_at_once_each_get_their_own_promise(server: ServerInThread) -> None:
    ledgers = [Ledger() for _ in range(10)]

    def session(index: int) -> None:
        with server.client() as client:
            for number in range(10):
                ledgers[index].send(client, f"mail {index} {number}")

    threads = [threading.Thread(target=session, args=(index,)) for index in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(len(ledger.promised) for ledger in ledgers) == 100
    assert [ledger.lost() for ledger in ledgers] == [set()] * 10


def take(raw: bytes, recipient: Recipient, *, number: int = 0) -> Take:
    """A sealed message, as the writer gets it."""
    return Take(number, ingest.prepare(Incoming(raw, (recipient,))))


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return cursor.fetchone() is not None


def test_only_the_guilty_message_of_a_batch_fails(anna: Mailbox) -> None:
    good = Recipient(anna.address, anna.domain.route_id, anna.pk)
    bad = Recipient("ghost@example.test", anna.domain.route_id, mailbox_id=anna.pk + 999)
    takes = [take(make_raw(), recipient, number=number) for number, recipient in enumerate((good, bad, good))]
    outcomes = Committer(lambda _written: None).commit(takes)
    assert [(number, stored is not None) for number, stored in outcomes] == [(0, True), (1, False), (2, True)]
    assert Message.objects.count() == 2


def test_lone_mail_after_one_very_slow_sync_is_not_kept_waiting(anna: Mailbox) -> None:
    """It would hear 451, and so would the next one: only a sync tells that the storage is quick again."""
    outcomes = list[Written]()
    committer = Committer(outcomes.extend)
    committer._last_size, committer._last_sync = 500, 60.0
    committer.begin()
    committer.submit(take(make_raw(), Recipient(anna.address, anna.domain.route_id, anna.pk)))
    wait_for(lambda: outcomes, seconds=9)
    committer.finish(timeout=10)
    assert [stored is not None for _number, stored in outcomes] == [True]


def test_what_is_forgotten_in_time_is_not_written_and_each_message_has_one_outcome(anna: Mailbox) -> None:
    outcomes = list[Written]()
    committer = Committer(outcomes.extend)
    for number in (1, 2):
        committer.submit(take(make_raw(), Recipient(anna.address, anna.domain.route_id, anna.pk), number=number))
    committer.cancel(1)
    committer.begin()
    committer.finish(timeout=30)
    committer.cancel(2)
    assert [(number, stored is not None) for number, stored in outcomes] == [(1, False), (2, True)]
    assert Message.objects.count() == 1


@pytest.mark.services
@pytest.mark.parametrize(("lanes", "processes", "most"), [(2, 1, 500), (16, 2, 125), (16, 64, 3)])
def test_batches_of_many_lanes_leave_room_in_the_table_of_locks(
    anna: Mailbox, lanes: int, processes: int, most: int
) -> None:
    batches: list[int] = []
    with override_settings(SMTPD_PROCESSES=processes):
        committer = Committer(lambda outcomes: batches.append(len(outcomes)), lanes=lanes)
    good = Recipient(anna.address, anna.domain.route_id, anna.pk)
    for _ in range(600):
        committer.submit(take(make_raw(), good))
    committer.begin()
    committer.finish(timeout=30)
    assert max(batches) == most
    assert Message.objects.count() == sum(batches) == 600


@pytest.mark.services
def test_lanes_write_in_turns(anna: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    writing: list[str] = []
    most: list[int] = []
    begun, never = threading.Semaphore(0), threading.Event()

    def store(items: Sequence[Incoming | Ready], *, now: datetime) -> list[Stored]:
        writing.append(threading.current_thread().name)
        begun.release()
        never.wait(0.1)  # time for another to begin, too
        most.append(len(writing))
        writing.pop()
        return really_store(items, now=now)

    really_store = ingest.store
    monkeypatch.setattr(ingest, "store", store)
    monkeypatch.setattr(committer, "TURN", 30)
    outcomes = list[Written]()
    lanes = Committer(outcomes.extend, lanes=3)
    lanes.begin()
    good = Recipient(anna.address, anna.domain.route_id, anna.pk)
    for _ in range(5):
        lanes.submit(take(make_raw(), good))
        assert begun.acquire(timeout=10)
    lanes.finish(timeout=30)
    assert most == [1] * 5
    assert Message.objects.count() == len(outcomes) == 5


SLOW_COMMIT = """
CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock(4242); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON spool_message DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.subject = 'slow') EXECUTE FUNCTION slow_commit();
"""


@pytest.mark.services
def test_while_one_lane_commits_another_writes(anna: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "TURN", 30)
    monkeypatch.setattr(committer, "BUSY_MS", 60_000)
    good = Recipient(anna.address, anna.domain.route_id, anna.pk)
    slow, quick = take(b"Subject: slow\r\n\r\n", good, number=1), take(make_raw(), good, number=2)
    outcomes = list[Written]()
    lanes = Committer(outcomes.extend, lanes=2)
    with connection.cursor() as cursor:
        cursor.execute(SLOW_COMMIT)
        lanes.begin()
        try:
            with transaction.atomic():
                cursor.execute("SELECT pg_advisory_xact_lock(4242)")
                lanes.submit(slow)
                wait_for(waits_for_a_lock, what="the first to commit")
                lanes.submit(quick)
                wait_for(lambda: outcomes, what="the second to be written", seconds=20)
        finally:
            lanes.finish(timeout=20)
            cursor.execute("DROP TRIGGER slow_commit ON spool_message; DROP FUNCTION slow_commit")
    assert [number for number, stored in outcomes if stored] == [quick.number, slow.number]


def test_a_lane_that_failed_passes_its_turn_on(anna: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def store(items: Sequence[Incoming | Ready], *, now: datetime) -> list[Stored]:
        monkeypatch.setattr(ingest, "store", really_store)
        raise OSError

    really_store = ingest.store
    monkeypatch.setattr(ingest, "store", store)
    monkeypatch.setattr(committer, "TURN", 30)
    good = Recipient(anna.address, anna.domain.route_id, anna.pk)
    outcomes = list[Written]()
    lanes = Committer(outcomes.extend, lanes=2)
    lanes.begin()
    takes = list[Take]()
    for number in range(3):
        takes.append(take(make_raw(), good, number=number))
        lanes.submit(takes[-1])
        wait_for(lambda: len(outcomes) == len(takes), seconds=20)
    lanes.finish(timeout=20)
    assert [stored is not None for _number, stored in outcomes] == [False, True, True]


@pytest.mark.services
def test_a_lane_that_waits_for_one_message_does_not_keep_the_others_waiting(
    anna: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "BUSY_MS", 60_000)
    good = Recipient(anna.address, anna.domain.route_id, anna.pk)
    first, second = (take(make_raw(), good, number=number) for number in (1, 2))
    key = int.from_bytes(content_hash(first.ready.incoming.raw)[:8], "big", signed=True)
    outcomes = list[Written]()
    lanes = Committer(outcomes.extend, lanes=2)
    lanes.begin()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])
        lanes.submit(first)
        wait_for(waits_for_a_lock, what="the first to wait")
        lanes.submit(second)
        wait_for(lambda: outcomes, what="the second to be written")
    lanes.finish(timeout=20)
    assert [number for number, stored in outcomes if stored] == [second.number, first.number]


@pytest.mark.services
def test_a_lost_connection_is_a_451_and_the_next_mail_is_kept(server: ServerInThread) -> None:
    with server.client() as client:
        assert client.transaction(make_raw(), "anna@example.test").startswith("250")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        replies = [client.transaction(make_raw(), "anna@example.test")[:9] for _ in range(6)]
    assert set(replies) <= {"451 4.3.0", "250 2.0.0"}
    assert replies[-1] == "250 2.0.0"
    assert Message.objects.count() == 1 + replies.count("250 2.0.0")


def test_a_mail_of_fifty_mebibytes_and_one_octet_is_refused(anna: Mailbox) -> None:
    limit = 50 * 2**20
    head = b"Subject: x\r\n\r\n"
    line = b"x" * 1022 + b"\r\n"
    with ServerInThread(message_size=limit) as server, server.client() as client:
        for surplus, reply in ((0, "250 2.0.0"), (1, "552 5.3.4")):
            client.mail("anna@example.test")
            client.say("DATA")
            rest = limit + surplus - len(head)
            body = line * (rest // 1024)
            client.send(head + body + b"y" * (rest - len(body) - 2) + b"\r\n.\r\n")
            assert client.reply()[:9] == reply
    assert Message.objects.get().size == limit
