"""Sealing: gap-free, one chain whoever seals at once, late commits later in the chain, cheap when idle."""

import threading
from datetime import UTC, datetime

import pytest
from django.db import close_old_connections, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.chain import GENESIS, canonical
from audit.context import Actor, Context, bound
from audit.models import ChainHead, Event
from audit.record import Target, record
from audit.sealing import as_sealed, seal
from audit.tags import Tag
from audit.verification import check_chain, sealed_rows

NOW = datetime(2026, 11, 23, 14, 2, tzinfo=UTC)


def seal_all() -> int:
    total = 0
    while count := seal(now=timezone.now(), limit=200):
        total += count
    return total


@pytest.mark.django_db
def test_events_are_sealed_in_order_and_once() -> None:
    made = [record(Tag.MESSAGE_READ, detail={"mailbox": f"box {n}"}).pk for n in range(5)]
    assert seal(now=NOW, limit=3) == 3
    assert seal(now=NOW, limit=3) == 2
    assert seal(now=NOW, limit=3) == 0
    rows = list(sealed_rows())
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert {row.event["id"] for row in rows} == {str(pk) for pk in made}
    assert rows[0].previous_hash == GENESIS
    head = ChainHead.objects.get()
    assert (head.seq, head.hash, head.sealed_at) == (5, rows[-1].hash, NOW)
    assert check_chain() == (5, rows[-1].hash)


@pytest.mark.django_db
def test_nothing_to_seal_costs_one_query() -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert seal(now=NOW) == 0
    assert len(queries) == 1


@pytest.mark.django_db
def test_the_hashed_form_is_the_documented_one() -> None:
    """A change here breaks every chain in the field: it needs a new domain tag, not a new expectation."""
    with bound(Context(Actor("user", 7, "Tilda Kranich"), "203.0.113.7", "agent", "request", "session", drill=True)):
        event = record(
            Tag.MESSAGE_READ, target=Target("message", "01J", "Übersicht"), detail={"mailbox": "t@x.test"}, at=NOW
        )
    row = Event.objects.values().get()
    assert canonical(as_sealed(dict(row)).event) == (
        '{"actor_id":"7","actor_kind":"user","actor_label":"Tilda Kranich","at":"2026-11-23T14:02:00.000000Z",'
        f'"detail":{{"mailbox":"t@x.test"}},"drill":true,"id":"{event.pk}","ip":"203.0.113.7","outcome":"ok",'
        '"request_id":"request","session":"session","severity":"info","tag":"mail.message.read","target_id":"01J",'
        '"target_kind":"message","target_label":"Übersicht","user_agent":"agent"}'
    )


@pytest.mark.django_db
def test_what_strangers_write_can_be_stored_and_sealed() -> None:
    hostile = "a\x00b\ud800\u2028\x1b[2J"
    detail = {"path": hostile, "method": [2**63, 1e300, float("nan"), {hostile: hostile}], "cause": hostile * 300}
    record(Tag.ACCESS_DENIED, target=Target("x", hostile * 40, hostile * 99), detail=detail, outcome="denied")
    assert seal(now=NOW) == 1
    assert check_chain()[0] == 1  # type: ignore[index]


@pytest.mark.django_db(transaction=True)
def test_an_event_committed_late_comes_later_in_the_chain() -> None:
    recorded, commit = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                record(Tag.LOGIN_SUCCEEDED)
                recorded.set()
                commit.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    if connection.vendor == "postgresql":  # on SQLite nobody else can write meanwhile
        thread.start()
        assert recorded.wait(30)
        record(Tag.LOGOUT)
    else:
        record(Tag.LOGOUT)
        thread.start()
        assert recorded.wait(30)
        commit.set()
    assert seal_all() >= 1
    commit.set()
    thread.join(30)
    seal_all()
    assert [row.event["tag"] for row in sealed_rows()] == [Tag.LOGOUT.value, Tag.LOGIN_SUCCEEDED.value]


@pytest.mark.untraced
@pytest.mark.django_db(transaction=True)
def test_sixteen_writers_and_sealers_make_one_chain() -> None:
    threads, each = 16, 500
    errors: list[BaseException] = []
    start = threading.Barrier(threads)

    def work(number: int) -> None:
        try:
            start.wait(30)
            for turn in range(each // 100):
                with transaction.atomic():
                    for _ in range(100):
                        record(Tag.MESSAGE_READ, detail={"mailbox": f"{number}.{turn}"})
                seal(now=timezone.now(), limit=150)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    close_old_connections()
    assert not errors
    seal_all()
    assert check_chain() == (threads * each, ChainHead.objects.get().hash)
    assert Event.objects.filter(seq__isnull=False).count() == threads * each
