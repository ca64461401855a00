"""The check that nobody asked for: it keeps up, goes on after a restart, finds every change, and tells it once."""

import random
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audit import guards
from audit.models import ChainHead, ChainPatrol, Event
from audit.patrol import ALL_EVERY, NEW_EVERY, step
from audit.record import record
from audit.sealing import seal
from audit.tags import Tag
from tests.audit.events import events
from tests.audit.test_verification import MUTATIONS, ROWS, Mutation

pytestmark = pytest.mark.django_db
NOW = timezone.now()
SECOND = timedelta(seconds=1)


@pytest.fixture
def chain() -> None:
    more(ROWS)


def more(count: int) -> None:
    for number in range(count):
        record(Tag.MESSAGE_READ, detail={"mailbox": f"box {number}"})
    assert seal(now=NOW) == count


def walk(*, at: timedelta = timedelta(0), size: int = 7) -> int:
    """Steps until nothing is due at that time; how many."""
    for number in range(100):
        if not step(now=NOW + at, size=size):
            return number
    pytest.fail("the patrol never ends")


@pytest.mark.usefixtures("chain")
def test_it_walks_in_slices_then_only_what_is_new() -> None:
    assert walk() == -(-ROWS // 7)
    head = ChainHead.objects.get()
    assert (head.verified_seq, head.verified_at, head.broken_seq) == (ROWS, NOW, None)
    more(20)
    assert walk(at=NEW_EVERY - SECOND) == 0
    assert walk(at=NEW_EVERY) == 3
    head = ChainHead.objects.get()
    assert (head.verified_seq, head.verified_at) == (ROWS + 20, NOW + NEW_EVERY)
    assert walk(at=ALL_EVERY) == -(-(ROWS + 20) // 7)
    assert not events(Tag.AUDIT_VERIFY_FAILED)


@pytest.mark.parametrize("mutate", MUTATIONS[1:], ids=lambda each: each.__name__)
@pytest.mark.usefixtures("chain")
def test_every_change_is_found_by_the_daily_round(mutate: Mutation) -> None:
    walk()
    with guards.lifted(connection):
        seq = mutate(random.Random(3))
    walk(at=ALL_EVERY)
    [alarm] = events(Tag.AUDIT_VERIFY_FAILED)
    assert alarm.detail["seq"] == ChainHead.objects.get().broken_seq == seq


@pytest.mark.usefixtures("chain")
def test_a_change_among_new_events_is_found_in_minutes_and_told_once() -> None:
    walk()
    more(5)
    with guards.lifted(connection):
        Event.objects.filter(seq=ROWS + 3).update(outcome="forged")
    for number in range(1, 5):
        walk(at=number * NEW_EVERY)
    walk(at=ALL_EVERY)
    [alarm] = events(Tag.AUDIT_VERIFY_FAILED)
    assert (alarm.detail["seq"], alarm.severity) == (ROWS + 3, "critical")
    assert ChainHead.objects.get().broken_seq == ROWS + 3


@pytest.mark.usefixtures("chain")
def test_a_log_that_was_put_right_is_whole_again_after_the_next_round() -> None:
    with guards.lifted(connection):
        Event.objects.filter(seq=3).update(outcome="forged")
    walk()
    assert ChainHead.objects.get().broken_seq == 3
    with guards.lifted(connection):
        Event.objects.filter(seq=3).update(outcome="ok")
    walk(at=ALL_EVERY)
    seal(now=NOW)
    assert ChainHead.objects.get().broken_seq is None


@pytest.mark.usefixtures("chain")
def test_a_remembered_point_that_was_forged_is_overtaken_by_the_round() -> None:
    walk()
    with guards.lifted(connection):
        Event.objects.filter(seq=3).update(outcome="forged")
    ChainPatrol.objects.update(round_ended=NOW + 99 * ALL_EVERY)  # "checked just now", for a long time to come
    walk(at=ALL_EVERY)
    assert ChainHead.objects.get().broken_seq == 3


def test_an_empty_log_is_no_break() -> None:
    assert walk() <= 1
    assert not Event.objects.exists()


@pytest.mark.parametrize("walked", [False, True])
@pytest.mark.usefixtures("chain")
def test_a_chain_whose_head_was_deleted_is_broken(walked: bool) -> None:
    if walked:
        walk()
    ChainHead.objects.all().delete()
    walk(at=ALL_EVERY)
    walk(at=2 * ALL_EVERY)
    assert len(events(Tag.AUDIT_VERIFY_FAILED)) == 1
