"""One consistent image of the database while it is in use, on both engines, and its way back.

SQLite: the online backup API inside one read transaction. PostgreSQL: pg_dump on an exported snapshot, so that the
list of content files is of the very same moment.
"""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection, connections, transaction

from einbox.backup.manifest import BackupError
from einbox.durable import sync

FILES_QUERY = "SELECT content_file FROM spool_message WHERE content_file <> ''"
COUNTED = {"messages": "spool_message", "deliveries": "spool_delivery", "events": "audit_event"}


@dataclass(frozen=True)
class Image:
    """What the image refers to: content files by name, and counts for the manifest."""

    file: str
    content_files: list[str]
    counts: dict[str, int]


def engine() -> str:
    return str(connection.vendor)


def dump(folder: Path) -> Image:
    """Write the image into `folder`. Raises BackupError."""
    return _dump_sqlite(folder) if engine() == "sqlite" else _dump_postgresql(folder)


def _dump_sqlite(folder: Path) -> Image:
    target = folder / "database.sqlite3"
    source = str(connection.settings_dict["NAME"])
    with closing(sqlite3.connect(source, timeout=20)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)  # all pages in one step: one read transaction, writers go on (WAL)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        names = [str(row[0]) for row in copy.execute(FILES_QUERY)]
        counts = {name: int(copy.execute(_count(table)).fetchone()[0]) for name, table in COUNTED.items()}
    sync(target)
    return Image(target.name, names, counts)


def _count(table: str) -> str:
    return f"SELECT count(*) FROM {table}"  # noqa: S608 - a name of our own


def _dump_postgresql(folder: Path) -> Image:
    target = folder / "database.pgdump"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        snapshot = str(cursor.fetchone()[0])
        _run("pg_dump", "--format=custom", "--no-owner", "--no-acl", f"--snapshot={snapshot}", f"--file={target}")
        cursor.execute(FILES_QUERY)
        names = [str(row[0]) for row in cursor.fetchall()]
        counts = {}
        for name, table in COUNTED.items():
            cursor.execute(_count(table))
            counts[name] = int(cursor.fetchone()[0])
    sync(target)
    return Image(target.name, names, counts)


def _run(program: str, *arguments: str) -> None:
    """Run a PostgreSQL tool on our database; the password goes through its environment, not its command line."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is not installed here; it belongs to the PostgreSQL client package (postgresql-client)."
        raise BackupError(message)
    config = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    environment = {variable: str(config[name]) for variable, name in names.items() if config.get(name)}
    if "sslmode" in config["OPTIONS"]:
        environment["PGSSLMODE"] = str(config["OPTIONS"]["sslmode"])
    result = subprocess.run(  # noqa: S603 - a tool found on PATH, arguments of our own
        [path, *arguments], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        message = f"{program} failed: {reason}"
        raise BackupError(message)


def is_empty() -> bool:
    """Whether the configured database holds no table yet."""
    if engine() == "sqlite":
        path = Path(str(connection.settings_dict["NAME"]))
        if not path.exists() or path.stat().st_size == 0:
            return True
    return not connection.introspection.table_names()


def load(image: Path) -> None:
    """Put the image where the settings say. The database must be empty. Raises BackupError."""
    connections.close_all()
    if engine() == "sqlite":
        target = Path(str(settings.DATABASES["default"]["NAME"]))
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in ("-wal", "-shm"):
            target.with_name(target.name + leftover).unlink(missing_ok=True)
        partial = target.with_name(target.name + ".restoring")
        shutil.copyfile(image, partial)
        partial.chmod(0o600)
        sync(partial)
        partial.replace(target)
        sync(target.parent)
        return
    name = str(connection.settings_dict["NAME"])
    _run(
        "pg_restore",
        "--no-owner",
        "--no-acl",
        "--exit-on-error",
        "--single-transaction",
        f"--dbname={name}",
        str(image),
    )
