"""Another writer that holds the test's database for as long as a test likes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, connections


@contextmanager
def locked() -> Iterator[None]:
    """Another writer holds the database (SQLite) or the table (PostgreSQL)."""
    if connection.vendor == "sqlite":
        other = sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
        return
    other_connection = connections.create_connection("default")
    try:
        with other_connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE spool_message IN ACCESS EXCLUSIVE MODE")
            yield
            cursor.execute("ROLLBACK")
    finally:
        other_connection.close()
