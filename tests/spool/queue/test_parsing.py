"""Reading stored mail: the pool's limits, ingestion by lease, and what views get."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from audit.models import Event
from audit.tags import Tag
from spool.enums import ParseState
from spool.models import Message, MessageText
from spool.queue import content, parseresult, parsesweep, parsing
from spool.queue.parsepool import ParsePool, ReadingError, Reply
from tests.factories.spool import make_mailbox, make_message
from tests.waiting import wait_for

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RAW = (
    b"From: Ann <ann@example.org>\r\nSubject: Plan\r\nMessage-ID: <1@example.org>\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nHello there\r\n'
    b'--b\r\nContent-Type: text/plain; name="a.txt"\r\nContent-Disposition: attachment\r\n\r\nfile\r\n--b--\r\n'
)


@pytest.fixture(scope="module")
def small_pool() -> Iterator[ParsePool]:
    made = ParsePool(2, seconds=5)
    yield made
    made.stop()


@pytest.fixture(scope="module", autouse=True)
def _stop_shared_pool() -> Iterator[None]:
    yield
    parsing.stop()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processor_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


@pytest.mark.pure
def test_a_job_and_its_answer(small_pool: ParsePool) -> None:
    reply = small_pool.run("parse", RAW)
    assert reply.head["snippet"] == "Hello there"
    assert reply.head["attachments"] == 1


@pytest.mark.pure
def test_many_threads_share_two_processes(small_pool: ParsePool) -> None:
    answers: list[str] = []

    def work(number: int) -> None:
        for turn in range(10):
            raw = f"Subject: {number}-{turn}\r\n\r\n".encode()
            answers.append(small_pool.run("parse", raw).head["subject"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"{number}-{turn}" for number in range(6) for turn in range(10))
    assert len(small_pool.pids()) <= 2


@pytest.mark.pure
def test_a_killed_process_costs_one_job_and_is_replaced() -> None:
    pool = ParsePool(1, seconds=5)
    pool.run("parse", RAW)
    (before,) = pool.pids()
    os.kill(before, 9)
    wait_for(lambda: not alive(before), seconds=5)
    assert pool.run("parse", RAW).head["subject"] == "Plan"
    assert pool.pids() != [before]
    pool.stop()


@pytest.mark.pure
def test_a_process_that_died_unnoticed_costs_no_job() -> None:
    """A process is not reaped the moment it dies: its pipes are closed while it still looks alive."""
    pool = ParsePool(1, seconds=5)
    pool.run("parse", RAW)
    child = pool._slots.queue[0]
    assert child is not None
    real = child.process
    os.kill(real.pid, 9)
    wait_for(lambda: not alive(real.pid), seconds=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real, "poll", lambda: None)
        assert pool.run("parse", RAW).head["subject"] == "Plan"
    pool.stop()


@pytest.mark.pure
def test_a_job_that_takes_too_long_is_killed() -> None:
    pool = ParsePool(1, seconds=60)  # a busy machine may take seconds to start a process
    pool.run("parse", RAW)
    (pid,) = pool.pids()
    os.kill(pid, 19)  # SIGSTOP: it will never answer
    pool.seconds = 1
    with pytest.raises(ReadingError, match="time"):
        pool.run("parse", RAW)
    assert not alive(pid)
    pool.seconds = 60
    assert pool.run("parse", RAW).head["subject"] == "Plan"
    pool.stop()


@pytest.mark.pure
def test_too_much_memory_costs_one_job() -> None:
    pool = ParsePool(1, memory=180 * 2**20)
    with pytest.raises(ReadingError):
        pool.run("parse", b"Subject: big\r\n\r\n" + b"x" * (200 * 2**20))
    assert pool.run("parse", RAW).head["subject"] == "Plan"
    pool.stop()


@pytest.mark.pure
def test_a_process_is_replaced_after_its_jobs() -> None:
    pool = ParsePool(1, jobs=2)
    seen = set()
    for _ in range(5):
        pool.run("parse", RAW)
        seen |= set(pool.pids())
    assert len(seen) == 3
    pool.stop()
    assert not any(alive(pid) for pid in seen)


PARENT = """
from spool.queue.parsepool import ParsePool
pool = ParsePool(1, seconds=30)
pool.run("parse", b"Subject: a\\r\\n\\r\\n")
print(pool.pids()[0], flush=True)
if BUSY:
    pool.run("page", b"Content-Type: text/html\\r\\n\\r\\n" + b"<font><div></font>" * 29_000)
input()
"""


@pytest.mark.pure
@pytest.mark.parametrize("busy", [False, True])
def test_a_process_ends_with_its_parent(busy: bool) -> None:
    code = PARENT.replace("BUSY", str(busy))
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        environment = Path(f"/proc/{child}/environ").read_bytes()
        if busy:
            wait_for(lambda: processor_ticks(child) > 20, seconds=10)
        parent.kill()
    wait_for(lambda: not alive(child), seconds=15)  # half of what its own clock would give it
    assert b"EINBOX" not in environment


@pytest.mark.pure
def test_the_child_knows_no_django() -> None:
    foreign = "('django', 'accounts', 'audit', 'celery')"
    code = f"import sys, spool.queue.parsechild; print([name for name in {foreign} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b"[]"


@pytest.mark.pure
def test_a_message_that_hangs_its_process_costs_its_neighbours_nothing() -> None:
    pool = ParsePool(1, seconds=5)
    slow = b"Content-Type: text/html\r\n\r\n" + b"<font><div></font>" * 29_000
    first, second, third = pool.run_many("page", [RAW, slow, RAW])
    assert isinstance(second, ReadingError)
    assert str(second) == "time"
    assert isinstance(first, Reply)
    assert first == third
    pool.stop()


@pytest.mark.pure
@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0651\u0650"])
def test_a_word_of_nothing_but_combining_marks_is_read_in_time(small_pool: ParsePool, marks: str) -> None:
    raw = b"Content-Type: text/plain; charset=utf-8\r\n\r\nplan a" + (marks * 100_000).encode()
    assert "plan" in small_pool.run("parse", raw).head["terms"]["body"]


@pytest.mark.django_db(transaction=True)
def test_what_fails_among_others_is_judged_alone_and_they_are_stored() -> None:
    class Allergic(ParsePool):
        def run_many(self, job, raws, **options):  # type: ignore[no-untyped-def]
            answers = super().run_many(job, raws, **options)
            return [ReadingError("time") if b"poison" in raw else one for raw, one in zip(raws, answers, strict=True)]

    made = [make_message(raw=b"Subject: %s\r\n\r\n" % word) for word in (b"one", b"poison", b"two")]
    pool = Allergic(1)
    now = NOW
    for attempt in range(1, 4):
        parsesweep.sweep(pool, now=now, limit=10)
        first, poison, last = Message.objects.filter(pk__in=[one.pk for one in made]).order_by("pk")
        assert {first.parse_state, last.parse_state} == {ParseState.PARSED}
        assert poison.parse_attempts == attempt
        now += timedelta(minutes=1)
    pool.stop()
    assert poison.parse_state == ParseState.FAILED


@pytest.mark.django_db(transaction=True)
def test_messages_of_one_thread_meet_under_one_number() -> None:
    heads = (
        b"Message-ID: <root@x.test>",
        b"Message-ID: <2@x.test>\r\nIn-Reply-To: <root@x.test>",
        b"Message-ID: <3@x.test>\r\nIn-Reply-To: <2@x.test>\r\nReferences: <root@x.test> <2@x.test>",
        b"Message-ID: <other@x.test>",
        b"Subject: no id",
    )
    made = [make_message(raw=head + b"\r\n\r\n").pk for head in heads]
    parsing.sweep(now=NOW)
    found = Message.objects.in_bulk(made)
    root, second, third, other, none = (found[pk] for pk in made)
    assert root.thread == second.thread == third.thread
    assert root.thread not in {None, other.thread}
    assert none.thread is None


@pytest.mark.django_db(transaction=True)
def test_sweep_reads_stores_and_records() -> None:
    messages = [make_message(raw=RAW), make_message(raw=b"Subject: two\r\n\r\nB\r\n")]
    assert parsing.sweep(now=NOW) == 2
    assert parsing.sweep(now=NOW) == 0
    first = Message.objects.get(pk=messages[0].pk)
    assert (first.parse_state, first.attachment_count, first.parse_lease_until) == (ParseState.PARSED, 1, None)
    assert parsing.snippet(first) == "Hello there"
    assert b"Hello" not in bytes(MessageText.objects.get(message=first).parsed)
    event = Event.objects.get(tag=Tag.BATCH_ACCEPTED.value)
    assert event.detail["count"] == 2
    assert {event.detail["first"], event.detail["last"]} == {message.public_id for message in messages}
    assert len(event.detail["root"]) == 64


@pytest.mark.django_db(transaction=True)
def test_a_leased_message_is_left_alone_until_the_lease_ends() -> None:
    message = make_message(raw=RAW)
    assert [one.pk for one in parsesweep.claim(now=NOW, limit=10)] == [message.pk]
    assert parsing.sweep(now=NOW + timedelta(minutes=4)) == 0
    assert parsing.sweep(now=NOW + timedelta(minutes=6)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_late_holder_stores_nothing() -> None:
    make_message(raw=RAW)
    (late,) = parsesweep.claim(now=NOW, limit=10)
    parsesweep.claim(now=NOW + timedelta(minutes=6), limit=10)
    assert parseresult.store([parseresult.Result(late, parsing.pool().run("parse", RAW))], now=NOW) == 0
    assert not MessageText.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_three_failures_mark_a_message_and_delay_no_other() -> None:
    poison = make_message(raw=b"Subject: poison\r\nFrom: Mallory <m@x.test>\r\n\r\n" + b"x" * 400_000)
    pool = ParsePool(1, memory=1)  # nothing can be read in one octet of memory
    now = NOW
    for _ in range(3):
        assert Message.objects.get(pk=poison.pk).parse_state == ParseState.PENDING
        parsesweep.sweep(pool, now=now, limit=10)
        now += timedelta(minutes=1)
    pool.stop()
    other = make_message(raw=RAW)
    assert parsing.sweep(now=now) == 1
    assert Message.objects.get(pk=other.pk).parse_state == ParseState.PARSED
    failed = Message.objects.get(pk=poison.pk)
    assert (failed.parse_state, failed.parse_attempts) == (ParseState.FAILED, 3)
    shown = parsing.load(failed)
    assert (shown.subject, shown.from_[0].address) == ("poison", "m@x.test")
    assert "could not be read" in shown.notes[0]
    assert content.read(failed).startswith(b"Subject: poison")
    assert sum(event.detail["count"] for event in Event.objects.filter(tag=Tag.BATCH_ACCEPTED.value)) == 2


@pytest.mark.django_db(transaction=True)
def test_several_workers_read_each_message_once() -> None:
    mailbox = make_mailbox()
    for number in range(30):
        make_message(raw=f"Subject: {number}\r\n\r\n".encode(), mailbox=mailbox)
    finished: list[int] = []

    def work() -> None:
        try:
            finished.append(parsing.sweep(now=NOW, limit=50))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(finished) == 30
    assert sum(event.detail["count"] for event in Event.objects.filter(tag=Tag.BATCH_ACCEPTED.value)) == 30
    assert MessageText.objects.count() == 30


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    make_message(raw=RAW)
    states: list[bool] = []

    class Watching(ParsePool):
        def run_many(self, job, raws, **options):  # type: ignore[no-untyped-def]
            states.append(main_connection.in_atomic_block)
            return super().run_many(job, raws, **options)

    main_connection = connection
    pool = Watching(1)
    assert parsesweep.sweep(pool, now=NOW, limit=10) == 1
    pool.stop()
    assert states == [False]


@pytest.mark.django_db(transaction=True)
def test_a_view_reads_before_ingestion_does() -> None:
    message = make_message(raw=RAW)
    assert parsing.load(message).text == "Hello there"
    assert MessageText.objects.filter(message=message).exists()
    assert parsing.load(message).subject == "Plan"
    (part,) = parsing.load(message).parts
    found, data = parsing.load_part(message, part.index)
    assert (found.name, data) == ("a.txt", b"file")
    with pytest.raises(parsing.PartMissingError):
        parsing.load_part(message, 99)
    assert parsing.sweep(now=NOW) == 1  # still its own event, once
    assert Event.objects.filter(tag=Tag.BATCH_ACCEPTED.value).count() == 1


@pytest.mark.django_db(transaction=True)
def test_body_pages() -> None:
    html = make_message(
        raw=b'Content-Type: text/html\r\n\r\n<p onclick=x>Hi<script>x</script><img src="http://t/x">\r\n'
    )
    page = parsing.body(html)
    assert (page.blocked_images, page.is_html) == (1, True)
    assert "script" not in page.document
    assert "<p>Hi<img></p>" in page.document
    plain = make_message(raw=b"Subject: t\r\n\r\n<b>see</b> https://x.test/\r\n")
    assert "&lt;b&gt;see" in parsing.body_html(plain)
    assert '<a href="https://x.test/"' in parsing.body_html(plain)


@pytest.mark.django_db(transaction=True)
def test_erased_messages_are_not_read_again() -> None:
    message = make_message(raw=RAW)
    content.erase([message], now=NOW)
    assert parsing.sweep(now=NOW) == 1
    erased = Message.objects.get(pk=message.pk)
    assert not MessageText.objects.exists()
    with pytest.raises(content.ContentGone):
        parsing.load(erased)
