"""The triggers: six statements that would change history are refused, and the table can still be flushed."""

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from audit import guards
from audit.models import Event
from audit.record import record
from audit.sealing import seal
from audit.tags import Tag

STATEMENTS: dict[str, str] = {
    "edit a sealed event": "UPDATE audit_event SET actor_label = 'nobody' WHERE seq = 1",
    "seal again": "UPDATE audit_event SET hash = 'x' WHERE seq = 1",
    "edit while sealing": (
        "UPDATE audit_event SET tag = 'x', seq = 9, previous_hash = 'p', hash = 'h' WHERE seq IS NULL"
    ),
    "edit an unsealed event": "UPDATE audit_event SET outcome = 'x' WHERE seq IS NULL",
    "delete a sealed event": "DELETE FROM audit_event WHERE seq = 1",
    "delete an unsealed event": "DELETE FROM audit_event WHERE seq IS NULL",
    "empty the table": "TRUNCATE audit_event",
    "insert into the chain": (
        "INSERT INTO audit_event (id, at, tag, severity, outcome, actor_kind, actor_label, target_kind, target_id,"
        " target_label, user_agent, request_id, session, drill, detail, seq, previous_hash, hash)"
        " SELECT 7, at, tag, severity, outcome, actor_kind, actor_label, target_kind, target_id,"
        " target_label, user_agent, request_id, session, drill, detail, 7, 'p', 'h' FROM audit_event WHERE seq = 1"
    ),
}
UPSERT = (
    "INSERT INTO audit_event SELECT * FROM audit_event WHERE seq IS NULL ON CONFLICT (id) DO UPDATE SET outcome = 'x'"
)
REPLACEMENTS = {
    "sqlite": [
        "INSERT OR REPLACE INTO audit_event SELECT * FROM audit_event WHERE seq IS NULL",
        "UPDATE OR REPLACE audit_event SET seq = 1, previous_hash = 'p', hash = 'h' WHERE seq IS NULL",
    ],
    "postgresql": [UPSERT],
}


def refuses(statement: str) -> None:
    before = list(Event.objects.order_by("id").values())
    with pytest.raises(DatabaseError, match=guards.REFUSAL), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert list(Event.objects.order_by("id").values()) == before


@pytest.fixture
def events(db: None) -> None:
    record(Tag.LOGIN_SUCCEEDED)
    assert seal(now=timezone.now()) == 1
    record(Tag.LOGOUT)


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("act", STATEMENTS)
def test_history_refuses_to_change(act: str) -> None:
    statement = STATEMENTS[act]
    # SQLite has no TRUNCATE; a DELETE without WHERE is its way.
    refuses(statement.replace("TRUNCATE", "DELETE FROM") if connection.vendor == "sqlite" else statement)


@pytest.mark.usefixtures("events")
def test_replacing_and_upserting_do_not_get_past_the_triggers() -> None:
    for statement in REPLACEMENTS[connection.vendor]:
        refuses(statement)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_a_transactional_test_starts_empty_and_guarded(turn: int) -> None:
    assert not Event.objects.exists()
    record(Tag.LOGIN_SUCCEEDED)
    refuses("DELETE FROM audit_event")


@pytest.mark.usefixtures("events")
def test_guards_come_back_after_they_were_lifted() -> None:
    with guards.lifted(connection):
        Event.objects.filter(seq__isnull=True).delete()
    refuses("DELETE FROM audit_event")
