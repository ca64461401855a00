"""The writer process: killed, stopped, left alone, drained; and what goes through the socket to it."""

import asyncio
import gc
import io
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.models import Delivery, Mailbox, Message
from spool.queue import files, ingest
from spool.queue.content import Prepared
from spool.queue.ingest import Incoming, Recipient, Stored
from spool.smtpd import frames, writer
from spool.smtpd.committer import Committer
from spool.smtpd.courier import FRAME, Courier
from spool.smtpd.frames import Forget, Said, Take, Written
from spool.smtpd.job import Job, Outcome
from tests.doubles.locks import locked
from tests.doubles.smtpd import Client, SmtpdProcess
from tests.factories.spool import make_raw

UNSURE = "451 4.3.0 Cannot take this mail now; try again later"


def begin(client: Client, raw: bytes) -> None:
    """Everything of a mail but its last reply."""
    client.mail("anna@example.test")
    assert client.say("DATA").startswith("354")
    client.send(raw + b".\r\n")


def send(process: SmtpdProcess, raw: bytes) -> str:
    with Client(process.address) as client:
        return client.transaction(raw, "anna@example.test")


@contextmanager
def clients_of(process: SmtpdProcess, count: int) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Client(process.address)) for _ in range(count)]


def pending(process: SmtpdProcess, clients: Sequence[Client], raws: Sequence[bytes]) -> None:
    """Have mail wait for a database that is locked, all of it with the writer."""
    for client, raw in zip(clients, raws, strict=True):
        begin(client, raw)
    with Client(process.address) as last:  # whose turn comes after theirs
        last.say("NOOP")


def test_a_killed_writer_is_a_451_and_the_end_of_smtpd(anna: Mailbox, tmp_path: Path) -> None:
    raws = [make_raw() for _ in range(3)]
    with SmtpdProcess(tmp_path) as process:
        with clients_of(process, 3) as clients, Client(process.address) as idle, locked():
            pending(process, clients, raws)
            os.kill(process.writer, signal.SIGKILL)
            assert {client.reply() for client in clients} == {UNSURE}
            assert idle.reply() == "421 4.3.2 Shutting down; try again soon"
            assert process.ended() == 1
        log = process.log.read_text()
        assert "smtpd's writer ended by itself" in log
        assert "Traceback" not in log
    with SmtpdProcess(tmp_path) as again:
        assert {send(again, raw)[:3] for raw in raws} == {"250"}
    assert Message.objects.count() == Delivery.objects.count() == len(raws)


def test_a_stopped_writer_is_a_451_within_ten_seconds_and_no_mail_twice(anna: Mailbox, tmp_path: Path) -> None:
    raw = make_raw()
    with SmtpdProcess(tmp_path) as process, Client(process.address) as client:
        os.kill(process.writer, signal.SIGSTOP)
        began = time.monotonic()
        begin(client, raw)
        with Client(process.address) as other:
            assert other.mail("anna@example.test", "nobody@example.test") == [
                "250 2.1.5 Ok",
                "550 5.1.1 No such recipient",
            ]
        assert client.reply() == UNSURE
        assert time.monotonic() - began < 10
        os.kill(process.writer, signal.SIGCONT)
        assert send(process, raw).startswith("250")
        assert process.stop() == 0
    assert Message.objects.count() == Delivery.objects.count() == 1


def test_a_thread_of_the_writer_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_committer: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Committer, "_take", fail)
    with writer.forked(lanes=1) as child:
        child.channel.settimeout(20)
        assert child.channel.recv(1) == b"", "the sessions learn it at once"
        ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 1)


def test_a_killed_smtpd_leaves_no_writer_and_what_was_pending_merges(anna: Mailbox, tmp_path: Path) -> None:
    raws = [make_raw() for _ in range(3)]
    with SmtpdProcess(tmp_path) as process:
        with clients_of(process, 3) as clients, locked():
            pending(process, clients, raws)
            process.process.kill()
            assert {client.reply() for client in clients} == {""}
        assert process.ended(6) == -9  # with its writer, which finished or gave up
    with SmtpdProcess(tmp_path) as again:
        assert {send(again, raw)[:3] for raw in raws} == {"250"}
    assert Message.objects.count() == Delivery.objects.count() == len(raws)


def test_sigterm_to_both_finishes_what_is_in_data_and_what_is_pending(anna: Mailbox, tmp_path: Path) -> None:
    raws = [make_raw() for _ in range(3)]
    with SmtpdProcess(tmp_path) as process:
        with clients_of(process, 3) as clients, Client(process.address) as slow:
            slow.mail("anna@example.test")
            slow.say("DATA")
            slow.send(b"Subject: in the middle\r\n\r\n")
            with locked():
                pending(process, clients, raws)
                for pid in (process.writer, process.process.pid):
                    os.kill(pid, signal.SIGTERM)
                slow.send(b"body\r\n.\r\n")
            for client in (*clients, slow):
                assert client.reply().startswith("250 2.0.0")
                assert client.reply().startswith("421 4.3.2")
        assert process.ended(8) == 0
    assert Message.objects.count() == len(raws) + 1


def test_sigterm_does_not_wait_for_a_database_that_stays_locked(anna: Mailbox, tmp_path: Path) -> None:
    with SmtpdProcess(tmp_path) as process, clients_of(process, 1) as clients, locked():
        pending(process, clients, [make_raw()])
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        assert process.ended(9) == 0
        assert time.monotonic() - began < 8.5
    assert not Message.objects.exists()


def test_started_where_children_are_ignored_it_still_ends_well(anna: Mailbox, tmp_path: Path) -> None:
    """An ignored SIGCHLD is inherited; the kernel then reaps the writer, and nobody knows whose its number is."""
    process = SmtpdProcess(tmp_path)
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    process.command = (sys.executable, "-c", ignoring, *process.command)
    with process:
        assert send(process, make_raw()).startswith("250")
        assert process.stop() == 0


HANGING = """
import sys, threading
sys.path.insert(0, "")
import manage
from spool.queue import files
files.write_now = lambda name, pieces: threading.Event().wait()
sys.argv = ["manage.py", "smtpd"]
manage.main()
"""


@pytest.mark.parametrize(("whose", "status"), [("smtpd", 0), ("writer", 1)])
def test_a_storage_that_hangs_does_not_keep_smtpd_from_ending(
    anna: Mailbox, tmp_path: Path, whose: str, status: int
) -> None:
    process = SmtpdProcess(tmp_path, DJANGO_SETTINGS_MODULE="einbox.settings")
    process.command = (sys.executable, "-c", HANGING)
    with process:
        assert send(process, b"Subject: large\r\n\r\n" + b"0123456789 body\r\n" * 10_000).startswith("250")
        if whose == "smtpd":
            process.process.send_signal(signal.SIGTERM)
        else:
            os.kill(process.writer, signal.SIGKILL)
        assert process.ended(9) == status


# --- the socket between them
def incoming(raw: bytes, recipient: Recipient | None = None) -> Incoming:
    return Incoming(raw, (recipient or Recipient("anna@example.test", 1),), "erika@outside.test")


@given(st.lists(st.lists(st.builds(Written, st.integers(), st.none())), max_size=5), st.lists(st.integers(0, 40)))
def test_frames_are_read_whole_in_whatever_pieces_they_come(said: list[list[Said]], cuts: list[int]) -> None:
    octets = b"".join(map(frames.pack, said))
    reader, heard = frames.Reader(), list[Said]()
    for size in cuts:
        heard += reader.feed(octets[:size])
        octets = octets[size:]
    assert heard + reader.feed(octets) == [one for each in said for one in each]


def test_a_frame_that_was_cut_is_the_end() -> None:
    frame = frames.pack([Written(1, Stored(5))])
    for size in range(len(frame)):
        assert frames.read(io.BytesIO(frame[:size])) is None
    stream = io.BytesIO(frame + frame[:-1])
    assert frames.read(stream) == [Written(1, Stored(5))]
    assert frames.read(stream) is None


def test_content_goes_sealed_and_only_once() -> None:
    raw = b"Subject: x\r\n\r\n" + b"a secret of the body\r\n" * 100
    ready = ingest.prepare(incoming(raw))
    octets = frames.pack([Take(7, ready)])
    assert b"a secret of the body" not in octets
    assert len(octets) < len(raw) + 1000
    [taken] = frames.read(io.BytesIO(octets)) or []
    assert isinstance(taken, Take)
    assert (taken.ready.content, taken.ready.columns) == (ready.content, ready.columns)
    assert taken.ready.incoming.recipients == ready.incoming.recipients


def test_the_writer_writes_what_comes_and_ends_with_its_socket(anna: Mailbox) -> None:
    recipient = Recipient(anna.address, anna.domain.route_id, anna.pk)
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=writer.serve, args=(theirs,), kwargs={"lanes": 2})
    thread.start()
    with ours, theirs, ours.makefile("rb") as stream:
        raws = [make_raw() for _ in range(5)]
        takes = [Take(number, ingest.prepare(incoming(raw, recipient))) for number, raw in enumerate(raws)]
        ours.sendall(frames.pack([Forget(99), *takes[:4]]) + frames.pack(takes[4:]))
        outcomes: dict[int, Stored | None] = {}
        while len(outcomes) < len(raws):
            outcomes |= {said.number: said.stored for said in frames.read(stream) or [] if isinstance(said, Written)}
        ours.shutdown(socket.SHUT_WR)
        thread.join(10)
    assert not thread.is_alive()
    kept = {stored.message_id for stored in outcomes.values() if stored}
    assert (
        set(Message.objects.values_list("pk", flat=True)) == kept == {take.ready.content.message_id for take in takes}
    )


async def _courier(size: int, count: int) -> tuple[int, int, list[Outcome]]:
    """Give mail to a writer that does not read, take it all back; octets that left, messages alive, outcomes."""
    ours, theirs = socket.socketpair()
    outcomes: list[Outcome] = []
    courier = Courier(outcomes.extend, ours, lambda: None)
    await courier.start()
    jobs = [Job(incoming(b"Subject: x\r\n\r\n" + os.urandom(size // 2).hex().encode())) for _ in range(count)]
    for job in jobs:
        courier.submit(job)
        await asyncio.sleep(0)
    for job in jobs:
        courier.cancel(job)
    await asyncio.sleep(0)
    del jobs, job
    # By type(): isinstance would ask lazy objects that other tests left, and those ask the database.
    alive = sum(len(one.inline or b"") for one in gc.get_objects() if type(one) is Prepared)
    theirs.setblocking(False)
    left = quiet = 0
    while quiet < 50:  # turns of the loop in which nothing more came
        await asyncio.sleep(0)
        try:
            left += len(theirs.recv(2**20))
            quiet = 0
        except BlockingIOError:
            quiet += 1
    theirs.close()
    await courier.stop(timeout=5)
    return left, alive, outcomes


def test_mail_for_a_writer_that_hangs_is_bounded_and_can_be_taken_back() -> None:
    left, alive, outcomes = asyncio.run(_courier(size=60_000, count=100))
    assert 0 < left < 3 * FRAME
    assert alive < 3 * FRAME
    assert outcomes == []


def test_what_a_lost_writer_leaves_is_in_doubt() -> None:
    async def scene() -> tuple[list[Job], list[Outcome], int]:
        ours, theirs = socket.socketpair()
        outcomes: list[Outcome] = []
        lost = asyncio.Event()
        courier = Courier(outcomes.extend, ours, lost.set)
        await courier.start()
        jobs = [Job(incoming(make_raw())) for _ in range(3)]
        for job in jobs[:2]:
            courier.submit(job)
        await asyncio.sleep(0)
        theirs.close()
        await asyncio.wait_for(lost.wait(), 5)
        before = len(outcomes)
        courier.submit(jobs[2])
        assert len(outcomes) == before  # never within `submit`
        await asyncio.sleep(0)
        await courier.stop(timeout=1)
        return jobs, outcomes, before

    jobs, outcomes, before = asyncio.run(scene())
    assert before == 2
    assert sorted(map(id, jobs)) == sorted(id(job) for job, _stored in outcomes)
    assert {stored for _job, stored in outcomes} == {None}


def test_what_is_sealed_after_the_end_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large mail on a slow storage: its session was cut, and nothing can be said to the writer any more."""
    slow, faults = threading.Event(), list[object]()

    def seal(one: Incoming) -> ingest.Ready:
        assert slow.wait(10)
        return ingest.prepare(one)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: faults.append(context))
        ours, theirs = socket.socketpair()
        courier = Courier(lambda outcomes: None, ours, lambda: None)
        await courier.start()
        courier.submit(Job(incoming(b"Subject: x\r\n\r\n" + b"y" * 300_000)))
        loop.call_later(0, slow.set)
        await courier.stop(timeout=1)
        theirs.close()

    monkeypatch.setattr("spool.smtpd.sealer.seal", seal)
    before = set(files.older_than(-1))
    asyncio.run(scene())
    assert faults == []
    assert set(files.older_than(-1)) == before
