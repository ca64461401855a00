"""verify finds every change to the stored chain, names the first event concerned, and notices a sealer that stopped."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from audit import guards
from audit.chain import row_hash
from audit.models import ChainHead, Event
from audit.record import record
from audit.sealing import HASHED, hashed_fields, seal
from audit.tags import Tag
from audit.verification import verify

ROWS = 30
Mutation = Callable[[random.Random], int]  # returns the seq that must be named


class UndoError(Exception):
    """Rolls a mutation back."""


@pytest.fixture
def chain(db: None) -> None:
    for number in range(ROWS):
        record(Tag.MESSAGE_READ, detail={"mailbox": f"box {number}"})
    assert seal(now=timezone.now()) == ROWS


def run(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def edit(rng: random.Random) -> int:
    seq = rng.randint(1, ROWS)
    column = rng.choice([name for name in HASHED if name != "ip"])
    forged: dict[str, Any] = {
        "id": rng.getrandbits(60),
        "at": timezone.now() + timedelta(days=1),
        "actor_id": rng.getrandbits(60),
        "drill": True,
        "detail": {"mailbox": "other"},
    }
    Event.objects.filter(seq=seq).update(**{column: forged.get(column, "forged")})
    return seq


def rehash(rng: random.Random) -> int:
    """Edit one event and hash it anew: the next one no longer follows (or the head no longer fits)."""
    seq = rng.randint(1, ROWS)
    Event.objects.filter(seq=seq).update(outcome="forged")
    row = Event.objects.filter(seq=seq).values(*HASHED, "previous_hash").get()
    previous = row.pop("previous_hash")
    Event.objects.filter(seq=seq).update(hash=row_hash(seq, previous, hashed_fields(row)))
    return min(seq + 1, ROWS)


def reorder(rng: random.Random) -> int:
    """Swap two events and leave the seals where they were."""
    one, other = sorted(rng.sample(range(1, ROWS + 1), 2))
    columns = ("actor_label", "detail", "at")
    first, second = (Event.objects.filter(seq=seq).values(*columns).get() for seq in (one, other))
    Event.objects.filter(seq=one).update(**second)
    Event.objects.filter(seq=other).update(**first)
    return one


def insert(rng: random.Random) -> int:
    """Make room in the middle and put a well-hashed event there."""
    seq = rng.randint(1, ROWS)
    row = Event.objects.filter(seq=seq).values(*HASHED, "previous_hash").get()
    run("UPDATE audit_event SET seq = -seq WHERE seq >= %s", seq)
    run("UPDATE audit_event SET seq = -seq + 1 WHERE seq < 0")
    row |= {"id": row["id"] + 1}
    previous = row.pop("previous_hash")
    Event.objects.filter(seq=seq + 1).update(previous_hash="0" * 64)  # the column is unique
    forged = row_hash(seq, previous, hashed_fields(row))
    Event.objects.create(**row, seq=seq, previous_hash=previous, hash=forged)
    return seq + 1


def delete(rng: random.Random) -> int:
    seq = rng.randint(1, ROWS)
    Event.objects.filter(seq=seq).delete()
    return seq


def append(rng: random.Random) -> int:
    """A well-hashed event after the end, without the head."""
    row = Event.objects.filter(seq=ROWS).values(*HASHED, "hash").get()
    previous = row.pop("hash")
    row |= {"id": row["id"] + 1}
    forged = row_hash(ROWS + 1, previous, hashed_fields(row))
    Event.objects.create(**row, seq=ROWS + 1, previous_hash=previous, hash=forged)
    return ROWS + 1


def unseal(rng: random.Random) -> int:
    seq = rng.randint(1, ROWS)
    Event.objects.filter(seq=seq).update(seq=None, hash=None, previous_hash=None)
    return seq


MUTATIONS: list[Mutation] = [edit, edit, rehash, reorder, insert, delete, append, unseal]


@pytest.mark.usefixtures("chain")
def test_200_of_200_single_mutations_are_found_and_named() -> None:
    assert verify(now=timezone.now()).ok
    guards.remove(connection)  # as the database's owner could; the test's rollback puts them back
    rng = random.Random(20261123)
    missed = []
    for number in range(200):
        mutate = MUTATIONS[number % len(MUTATIONS)]
        try:
            with transaction.atomic():
                expected = mutate(rng)
                found = verify(now=timezone.now())
                if found.broken_seq != expected:
                    missed.append((mutate.__name__, expected, found))
                raise UndoError
        except UndoError:
            pass
    assert missed == []
    assert verify(now=timezone.now()).ok


@pytest.mark.usefixtures("chain")
@pytest.mark.parametrize("keep", [0, 1, ROWS - 1])
def test_a_tail_that_is_cut_off_no_longer_meets_the_head(keep: int) -> None:
    with guards.lifted(connection):
        Event.objects.filter(seq__gt=keep).delete()
    assert verify(now=timezone.now()).broken_seq == keep + 1


@pytest.mark.usefixtures("chain")
def test_a_column_that_cannot_be_read_is_named_not_a_crash() -> None:
    if connection.vendor == "postgresql":
        statement = "UPDATE audit_event SET at = 'infinity' WHERE seq = 4"
    else:
        statement = "UPDATE audit_event SET at = 'garbage' WHERE seq = 4"
    with guards.lifted(connection), connection.cursor() as cursor:
        cursor.execute(statement)
    assert verify(now=timezone.now()).broken_seq == 4


@pytest.mark.usefixtures("chain")
def test_a_bad_verdict_is_recorded_and_remembered() -> None:
    with guards.lifted(connection):
        Event.objects.filter(seq=3).update(outcome="forged")
    now = timezone.now()
    verify(now=now)
    alarm = Event.objects.get(tag=Tag.AUDIT_VERIFY_FAILED.value)
    assert alarm.detail["seq"] == 3
    assert alarm.severity == "critical"
    head = ChainHead.objects.get()
    assert (head.broken_seq, head.verified_seq, head.verified_at) == (3, 2, now)


@pytest.mark.django_db
def test_events_that_wait_too_long_for_their_seal_fail_the_check() -> None:
    waiting = record(Tag.LOGIN_SUCCEEDED)
    now = timezone.now()
    assert verify(now=now).ok
    late = verify(now=now + timedelta(seconds=11))
    assert not late.ok
    assert (late.unsealed, late.unsealed_id) == (1, waiting.pk)


@pytest.mark.django_db
def test_an_empty_log_verifies() -> None:
    assert verify(now=datetime(2026, 11, 23, tzinfo=UTC)).ok


@pytest.mark.usefixtures("chain")
def test_the_command_names_the_event_and_fails() -> None:
    out = StringIO()
    call_command("audit", "verify", "--json", stdout=out)
    verdict = json.loads(out.getvalue())
    assert (verdict["ok"], verdict["checked"]) == (True, ROWS)
    with guards.lifted(connection):
        Event.objects.filter(seq=7).delete()
    out = StringIO()
    with pytest.raises(CommandError, match="event 7"):
        call_command("audit", "verify", "--json", stdout=out)
    assert json.loads(out.getvalue())["broken_seq"] == 7
