"""A PostgreSQL server of the test's own on loopback, which may stop, pause, refuse connections and return.

Everything is synced, as in production. Needs PostgreSQL's programs; run by root, the server is of user postgres. Knows
no table: who wants einbox's own makes them with `migrated`.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections
from django.db.utils import ConnectionHandler

from einbox.env import database_config
from tests.bench.processes import descendants
from tests.doubles.installation import free_port
from tests.waiting import wait_for

MEMBER = "einbox"  # the role of the product, no superuser
TEMPLATE = "einbox_template"
PACKAGED = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder of the newest PostgreSQL."""
    found = sorted(PACKAGED.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    single = shutil.which("initdb")
    if not found and not single:
        return None
    return (found[-1] if found else Path(str(single))).parent


class PostgresServer:
    """`with PostgresServer(…) as server:` runs one with `settings`; its `home` is there from the beginning."""

    def __init__(self, **settings: str) -> None:
        """Raises FileNotFoundError."""
        found = programs()
        if found is None:
            raise FileNotFoundError("no PostgreSQL is installed")
        self._programs = found
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="einbox-postgresql-"))
        self.data = self.home / "data"
        self.log = self.home / "log"
        self._settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "40"}
        self._settings |= settings
        self.environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        self._owner: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._owner = {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid, "extra_groups": []}
            shutil.chown(self.home, "postgres")
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> "PostgresServer":
        initdb = [str(self._programs / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync"]
        subprocess.run(
            [*initdb, "-E", "UTF8", "--no-locale"],
            cwd=self.home, env=self.environment, check=True, stdout=subprocess.DEVNULL, **self._owner,
        )  # fmt: skip
        self.start()
        self.run(f"CREATE ROLE {MEMBER} LOGIN")
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    # --- faults ------------------------------------------------------------------------------------------------
    def start(self) -> None:
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *options],
                cwd=self.home, env=self.environment, stdout=log, stderr=log, **self._owner,
            )  # fmt: skip
        wait_for(self.answers, 20, what=f"PostgreSQL to answer; its log: {self.log}")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """At once, as after a crash: what was not synced is replayed or gone (SIGQUIT: immediate, SIGINT: fast)."""
        self._let_go()
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(20)

    def pause(self) -> None:
        """No process of the server does anything, yet all connections stay and the port takes new ones."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """To the whole tree, its root first, so that a stopped one has no new children."""
        told: set[int] = set()
        while self.process.poll() is None and (new := descendants(self.process.pid) - told):
            for pid in sorted(new, key=lambda pid: pid != self.process.pid):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
            told |= new

    def limit(self, database: str, connections: int) -> None:
        """Allow `database` so many connections (-1: any number) and end those that are there."""
        self._let_go()
        self.run(f'ALTER DATABASE "{database}" CONNECTION LIMIT {connections}')
        self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")

    def _let_go(self) -> None:
        """This thread's own connection would be broken, if it has one."""
        if settings.configured and connection.settings_dict["PORT"] == str(self.port):
            connection.close()

    # --- talk --------------------------------------------------------------------------------------------------
    def url(self, database: str, *, user: str = MEMBER) -> str:
        return f"postgres://{user}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, *, database: str = "postgres") -> None:
        """As superuser, outside a transaction."""
        with psycopg.connect(self.url(database, user="postgres"), autocommit=True) as superuser:
            superuser.execute(statement)

    def answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8", errors="replace")
            return False
        return True

    @contextmanager
    def migrated(self, place: Path | None = None) -> Iterator[str]:
        """The name of a database with einbox's tables, which is this thread's `default` meanwhile.

        Its tables lie in `place`, an empty directory, if there is one.
        """
        if not self._exists(TEMPLATE):
            self.run(f"CREATE DATABASE {TEMPLATE} OWNER {MEMBER}")
            with default_database(self.url(TEMPLATE)):
                call_command("migrate", verbosity=0)
        name = f"einbox_{secrets.token_hex(4)}"
        with self._tablespace(place) as tablespace:
            self.run(f"CREATE DATABASE {name} OWNER {MEMBER} TEMPLATE {TEMPLATE} TABLESPACE {tablespace}")
            with default_database(self.url(name)):
                yield name
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def _tablespace(self, place: Path | None) -> Iterator[str]:
        if place is None:
            yield "pg_default"
            return
        if self._owner:
            shutil.chown(place, "postgres")
        name = f"place_{secrets.token_hex(4)}"
        self.run(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        yield name
        self.run(f"DROP TABLESPACE {name}")
        self.run("CHECKPOINT")  # a start after a crash would look for it

    def _exists(self, database: str) -> bool:
        with psycopg.connect(self.url("postgres", user="postgres")) as superuser:
            found = superuser.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            return found.fetchone() is not None


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Django's `default` in this thread is the database at `url`."""
    usual = connections["default"]
    connections["default"] = ConnectionHandler({"default": database_config(url)})["default"]
    try:
        yield
    finally:
        connection.close()
        connections["default"] = usual
