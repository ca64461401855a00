"""What makes a commit durable on the configured database: insisted on at each connection, and told to `doctor`.

A 250 is given after COMMIT (rule 1), so COMMIT must mean synced, whatever the server, the role or the database was
set to. Sets nothing that outlives a connection.
"""

from collections.abc import Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

# Only what promises less than the local disk is raised; an installation with replicas may ask for more than `on`.
INSIST = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
SYNCHRONOUS_FULL = 2  # SQLite: https://www.sqlite.org/pragma.html#pragma_synchronous


def insist_on_durable_commits(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Receiver of `connection_created`. Raises DatabaseError."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(INSIST)


def weak_settings(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Settings under which a committed mail may be gone after a power cut. Raises DatabaseError."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA synchronous")
            if cursor.fetchone()[0] < SYNCHRONOUS_FULL:
                yield "synchronous"
            return
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            cursor.execute("SELECT current_setting(%s)", [name])
            if cursor.fetchone()[0] == "off":
                yield name
