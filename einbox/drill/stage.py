"""The drill's stage: its directory, ports, processes, domain and people, and their removal.

Writes to the product's database (domain, people, mailboxes, all marked as drill) and starts child processes on
loopback. What it sets up it takes down: people are deactivated, processes stopped, and so is what a drill that
was stopped leaves waiting.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b32decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from django.utils import timezone

from accounts import provision
from accounts.enums import Role
from accounts.models import User
from audit.context import acting, current
from einbox.drill import leftovers
from einbox.drill.person import Person
from einbox.drill.primary import Primary, Sink, spawn
from einbox.process import kill_group, listens
from spool.enums import RecipientPolicy, TlsPolicy
from spool.models import Domain
from spool.queue import domains, mailboxes

START_SECONDS = 60.0
STOP_SECONDS = 15.0
OUTSIDE_DOMAIN = "outside.test"  # where the senders are, and where answers go
NAMES = (("Tilda Kranich", Role.EMPLOYEE), ("Emil Zweiglein", Role.EMPLOYEE), ("Ruth Ackerwinde", Role.SECURITY))


class DrillError(Exception):
    """The drill could not go on; the text says where."""


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> float:
    """Seconds until `condition` held. Raises DrillError naming `what` after `seconds`."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            message = f"{what} did not happen within {seconds:.0f} s"
            raise DrillError(message)
        time.sleep(0.05)
    return time.monotonic() - start


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody listens on; all are held open while the others are chosen."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


@dataclass
class Stage:
    """One drill's surroundings. `directory` holds its logs and is the caller's to remove."""

    directory: Path
    drill: str
    primary: Primary
    smtp_port: int
    web_port: int
    people: list[tuple[User, Person]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    tree: "subprocess.Popen[bytes] | None" = None
    ended: bool = False  # as it should, or cleared up after

    @property
    def domain(self) -> str:
        return f"{self.drill}.test"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def start_primary(self) -> None:
        """Start it, and wait until it listens."""
        self.primary.start((self.domain, OUTSIDE_DOMAIN))
        wait_until(lambda: listens(self.primary.port), seconds=START_SECONDS, what="the primary's start")

    # --- the product's processes -----------------------------------------------------------------------------
    def start_processes(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _OVERRIDDEN}
        environment |= {
            "EINBOX_WEB": f"127.0.0.1:{self.web_port}",
            "EINBOX_SMTP": f"127.0.0.1:{self.smtp_port}",
            "EINBOX_PUBLIC_URL": self.base_url,
            "EINBOX_DRILL_DOMAIN": self.domain,
            "EINBOX_PROBE_INTERVAL": "1",
            "EINBOX_PROBE_TIMEOUT": "2",
            "EINBOX_SMTPD_SESSIONS_PER_CLIENT": "500",
        }
        command = [sys.executable, "-m", "einbox.drill.processes", "--parent", str(os.getpid())]
        command += ["--state", str(self.directory / "processes.json")]
        self.tree = spawn(command, self.directory / "processes.log", environment)
        wait_until(self._ready, seconds=START_SECONDS, what="the start of the drill's processes")

    def _ready(self) -> bool:
        if self.tree is None or self.tree.poll() is not None:
            message = f"the drill's processes ended at once; see {self.directory / 'processes.log'}"
            raise DrillError(message)
        return listens(self.smtp_port) and _answers(f"{self.base_url}/healthz")

    def pids(self) -> dict[str, int]:
        """Process ids by service, for fault tests."""
        try:
            return dict(json.loads((self.directory / "processes.json").read_text(encoding="ascii")))
        except (OSError, ValueError):
            return {}

    def stop(self) -> None:
        """Take everything down, the primary last, so that its end is no outage; safe to call twice."""
        if self.tree:
            self.tree.terminate()
            try:
                self.tree.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                kill_group(self.tree.pid)
                self.tree.wait()
            self.tree = None
        self.primary.kill()
        for domain in Domain.objects.filter(name=self.domain):
            leftovers.clear(domain, ended=self.ended, now=timezone.now())
        self.ended = True


# The drill's web speaks plain HTTP on loopback whatever the product's does; nothing else changes.
_NOT_FOR_DRILLS = (
    "WEB", "SMTP", "SMTPD_PROXIES", "PUBLIC_URL", "TLS_CERT", "TLS_KEY", "TRUSTED_PROXIES", "DEMO", "DRILL_DOMAIN",
)  # fmt: skip
_OVERRIDDEN = frozenset(f"EINBOX_{name}{suffix}" for name in _NOT_FOR_DRILLS for suffix in ("", "_FILE"))


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _make_person(email: str, name: str, role: Role, base_url: str) -> tuple[User, Person]:
    password = secrets.token_urlsafe(24)
    user = provision.create_user(email=email, name=name, role=role, password=password, drill=True)
    enrolled = provision.enrol_totp(user)
    return user, Person(base_url, email, password, b32decode(enrolled.secret))


@contextmanager
def handling(handler: "signal.Handlers | Callable[[int, FrameType | None], Any]") -> Iterator[None]:
    """Let `handler` answer every signal that stops a command, until the block ends."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handled in before.items():
            signal.signal(number, handled)


@contextmanager
def set_up(directory: Path, make_primary: Callable[[Path, int], Primary] = Sink) -> Iterator[Stage]:
    """A stage with a domain, three people, a shared mailbox and a mailbox without a user; nothing runs yet."""
    leftovers.clear_forgotten(now=timezone.now())
    primary_port, smtp_port, web_port = free_ports(3)
    primary = make_primary(directory, primary_port)
    stage = Stage(directory, f"drill-{secrets.token_hex(4)}", primary, smtp_port, web_port)
    try:
        with acting(current().actor, drill=True):
            _furnish(stage)
        yield stage
    finally:
        with handling(signal.SIG_IGN):  # whoever stops a drill twice does not stop its clearing up
            stage.stop()


def _furnish(stage: Stage) -> None:
    now = timezone.now()
    host = domains.Host("127.0.0.1", stage.primary.port)
    wanted = domains.Settings(hosts=(host,), tls=TlsPolicy.NONE, recipients=RecipientPolicy.REJECT)
    domains.add(stage.domain, wanted, now=now, drill=True)
    for name, role in NAMES:
        email = f"{name.split()[0].lower()}@{stage.domain}"
        user, person = _make_person(email, name, role, stage.base_url)
        mailboxes.add(email, now=now, name=name, user=user)
        stage.people.append((user, person))
        stage.addresses.append(email)
    shared = mailboxes.add(f"sales@{stage.domain}", now=now, name="Sales", shared=True)
    for user, _ in stage.people[:2]:
        mailboxes.add_member(shared, user, now=now)
    waiting = mailboxes.add(f"nobody-yet@{stage.domain}", now=now, name="Without a user")
    stage.addresses += [shared.address, waiting.address]
