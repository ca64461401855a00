"""Database triggers that keep the audit log append-only, on SQLite and PostgreSQL.

They refuse DELETE, TRUNCATE, an INSERT that is already sealed, and every UPDATE except the one that seals. They stop
mistakes and injected SQL; an owner of the database can remove them, which the hash chain then shows.

A test that flushes tables, and a restore that copies rows, work inside `lifted`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "audit_event"
SEAL = ("seq", "previous_hash", "hash")
REFUSAL = "audit events are append-only"

POSTGRESQL = f"""
CREATE OR REPLACE FUNCTION {TABLE}_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$
DECLARE
    before {TABLE};
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.seq IS NULL AND NEW.previous_hash IS NULL AND NEW.hash IS NULL THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        before := NEW;
        before.seq := NULL;
        before.previous_hash := NULL;
        before.hash := NULL;
        IF before IS NOT DISTINCT FROM OLD
           AND NEW.seq IS NOT NULL AND NEW.previous_hash IS NOT NULL AND NEW.hash IS NOT NULL THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation';
END
$guard$;
CREATE OR REPLACE TRIGGER {TABLE}_rows BEFORE INSERT OR UPDATE OR DELETE ON {TABLE}
    FOR EACH ROW EXECUTE FUNCTION {TABLE}_guard();
CREATE OR REPLACE TRIGGER {TABLE}_truncate BEFORE TRUNCATE ON {TABLE}
    FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_guard();
"""


def sqlite_triggers(columns: list[str]) -> list[str]:
    """The statements for SQLite. REPLACE deletes rows without a DELETE trigger, hence the look for a rival row."""
    unsealed = " AND ".join(f"{{row}}.{name} IS NULL" for name in SEAL)
    sealed = " AND ".join(f"NEW.{name} IS NOT NULL" for name in SEAL)
    unchanged = " AND ".join(f'OLD."{name}" IS NEW."{name}"' for name in columns if name not in SEAL)
    rival = " OR ".join(f"{name} = NEW.{name}" for name in SEAL)
    twin = f"EXISTS (SELECT 1 FROM {TABLE} WHERE {{}})"  # noqa: S608 - constants only
    refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    conditions = {
        "insert": f"NOT ({unsealed.format(row='NEW')}) OR {twin.format('id = NEW.id')}",
        "update": f"NOT ({unsealed.format(row='OLD')} AND {sealed} AND {unchanged}) OR {twin.format(rival)}",
        "delete": "1",
    }
    return [
        f"CREATE TRIGGER {TABLE}_{act} BEFORE {act.upper()} ON {TABLE} WHEN {condition} {refuse}"
        for act, condition in conditions.items()
    ]


def install(connection: BaseDatabaseWrapper) -> None:
    """Put the triggers in place, replacing older ones. Raises NotImplementedError on another engine."""
    if connection.vendor not in {"sqlite", "postgresql"}:
        message = f"the audit log is not guarded on {connection.vendor}"
        raise NotImplementedError(message)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(POSTGRESQL)
            return
        columns = [column.name for column in connection.introspection.get_table_description(cursor, TABLE)]
        for statement in sqlite_triggers(columns):
            name = statement.split()[2]
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            cursor.execute(statement)


def remove(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for name in ("rows", "truncate"):
                cursor.execute(f"DROP TRIGGER IF EXISTS {TABLE}_{name} ON {TABLE}")
        else:
            for act in ("insert", "update", "delete"):
                cursor.execute(f"DROP TRIGGER IF EXISTS {TABLE}_{act}")


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Take the triggers away for the block. Only for restores and test databases; the chain still tells."""
    remove(connection)
    try:
        yield
    finally:
        install(connection)
