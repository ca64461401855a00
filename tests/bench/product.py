"""einbox as it runs, to be measured: `manage.py smtpd` with recipient checks and encryption on, and its database.

Ingestion is paused, for no worker runs. PostgreSQL is a private server of the benchmark, so that its CPU counts.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import Peer, wait_for_port
from tests.doubles.installation import free_port
from tests.doubles.postgresql import MEMBER, PostgresServer, programs

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 30
SETTINGS = {
    "EINBOX_LOG_LEVEL": "WARNING",
    "EINBOX_SECRET_KEY": "bench-only-" + "k" * 40,
    "EINBOX_FIELD_KEYS": "0badcafe:" + "A" * 43 + "=",
}


@dataclass(frozen=True)
class Store:
    """Where mail is kept: `url` empty for SQLite in the state directory; `pids` whose CPU is ours too."""

    name: str
    url: str = ""
    pids: tuple[int, ...] = ()


def environment(home: Path, store: Store, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EINBOX_", "DJANGO_"))}
    kept |= SETTINGS | {
        "EINBOX_HOME": str(home),
        "EINBOX_SMTP": f"127.0.0.1:{port}",
        "EINBOX_SMTPD_SESSIONS_PER_CLIENT": "1000",
    }
    return kept | ({"EINBOX_DATABASE_URL": store.url} if store.url else {})


def stores() -> list[str]:
    """Names of the stores that can be measured here."""
    return ["sqlite", *(["postgresql"] if programs() else [])]


@contextmanager
def stored(name: str, preload: Path | None = None) -> Iterator[Store]:
    """The store of this name; a PostgreSQL, with everything synced and an empty database, ends with the block."""
    if name != "postgresql":
        yield Store(name)
        return
    server = PostgresServer(max_connections="100", shared_buffers="1GB", max_wal_size="8GB")
    server.environment |= {"LD_PRELOAD": str(preload)} if preload else {}
    with server:
        server.run(f"CREATE DATABASE bench OWNER {MEMBER}")
        yield Store(name, server.url("bench"), (server.process.pid,))


@contextmanager
def place(store_name: str) -> Iterator[tuple[Path, Store]]:
    """A directory that goes with the block, and the store of this name."""
    folder = tempfile.TemporaryDirectory(prefix="einbox-bench-", ignore_cleanup_errors=True)
    with folder as home, stored(store_name) as store:
        yield Path(home), store


@contextmanager
def einbox(home: Path, store: Store, preload: Path | None = None, **extra: str) -> Iterator[Peer]:
    """Started with the settings of `environment` and `extra`."""
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    settings = environment(home, store, port) | extra
    people = home / "people.csv"
    # smtp-source numbers its recipients: 1b@…, 2b@…
    people.write_text("address\n" + "".join(f"{n}b@example.test\n" for n in ["", *range(51)]))
    for command in ("migrate -v0", "domain add example.test --primary 127.0.0.1:9", f"mailbox import {people}"):
        manage = [sys.executable, "manage.py", *command.split()]
        subprocess.run(manage, cwd=ROOT, env=settings, check=True, stdout=subprocess.DEVNULL)
    settings |= {"LD_PRELOAD": str(preload)} if preload else {}
    process = subprocess.Popen([sys.executable, "manage.py", "smtpd"], cwd=ROOT, env=settings)
    try:
        wait_for_port(port)
        yield Peer("einbox", port, [process.pid, *store.pids])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)
