"""Which field keys a database needs: every sealed value names the key that sealed it.

Looks at the columns and changes nothing. `sqlite_needs` runs before Django is there, for the settings must not make new
keys for a database that holds values of other ones.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from einbox.env import SettingsError

# Every column that accounts.crypto.seal fills; a test compares them with the models (einbox.rotation.SEALED).
COLUMNS: tuple[tuple[str, str], ...] = (
    ("spool_message", "content_key"),
    ("accounts_totpdevice", "sealed_seed"),
    ("spool_route", "submission_password"),
    ("spool_route", "smarthost_password"),
    ("spool_dkimkey", "sealed"),
    ("spool_draft", "sealed"),
    ("spool_draftattachment", "sealed"),
)
PUT_BACK = (
    "Put back the file keys/field_keys of EINBOX_HOME, or set EINBOX_FIELD_KEYS to the keys of the recovery sheet. "
    "Where they are lost, start with a new EINBOX_HOME and a new database, or restore a backup whose keys you have."
)


def lacking(key_ids: set[str]) -> str:
    """The sentence for keys that a database needs and nobody gave."""
    names = ", ".join(sorted(key_ids))
    return f"The database holds values sealed under the field key {names}, which is not here. {PUT_BACK}"


def key_id(value: bytes) -> str:
    """The key that sealed `value`: four octets after its version (accounts.crypto)."""
    return bytes(value[1:5]).hex()


def query(table: str, column: str, *, newest: bool) -> str:
    """One sealed value of the column: that of the highest or lowest primary key."""
    order = "DESC" if newest else "ASC"
    return f"SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY id {order} LIMIT 1"  # noqa: S608


def sqlite_needs(database: Path) -> set[str]:
    """Ids of the keys that sealed the newest value of each column; none for a new or half made database.

    Raises SettingsError when the file cannot be asked, for then nobody knows.
    """
    if not database.exists() or not database.stat().st_size:
        return set()
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=20)) as asked:
            return set(_sqlite_key_ids(asked))
    except sqlite3.Error as error:
        message = (
            f"There are no field keys, and the database {database} cannot be asked whether it needs some ({error}). "
            f"{PUT_BACK}"
        )
        raise SettingsError(message) from error


def _sqlite_key_ids(asked: sqlite3.Connection) -> Iterator[str]:
    tables = {name for (name,) in asked.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, column in COLUMNS:
        if table not in tables:
            continue
        with suppress(sqlite3.OperationalError):  # an older version's table may lack the column
            for _, value in asked.execute(query(table, column, newest=True)):
                yield key_id(value)
