"""Erased bytes leave the database's files too. Decides nothing about what is erased (see purge).

SQLite: `secure_delete` overwrites erased cells in the file, but the write-ahead log keeps older pages until it is
emptied; so it is emptied after each purge. PostgreSQL: nothing is done here, for only a rewrite of whole tables would
help. What lingers in its files is ciphertext and a wrapped key; docs/architecture.md tells how to be rid of them.
"""

from django.db import connection

WAIT_MS = 1_000  # milliseconds for readers to leave; the next housekeeping tries again


def compact() -> bool:
    """Empty SQLite's write-ahead log. False: somebody still reads older pages, or it is not for us to do."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return False
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        usual = int(cursor.fetchone()[0])
        cursor.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return not cursor.fetchone()[0]
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {usual}")
