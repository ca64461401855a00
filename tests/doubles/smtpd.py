"""einbox's SMTP server for tests: in a thread of the test process, or as the real process; and a plain client."""

import asyncio
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from django.core.files.storage import default_storage
from django.db import connection

from spool.smtpd import writer
from spool.smtpd.courier import Courier
from spool.smtpd.job import Report
from spool.smtpd.limits import Limits
from spool.smtpd.server import Server
from spool.smtpd.tls import Certificate
from spool.smtpd.view import ViewKeeper
from tests.bench.processes import descendants
from tests.doubles.installation import free_port
from tests.planted import watcher
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 15.0
OF_THE_WRITER = ("after_write", "after_commit")  # failpoints that its process passes


def killed_at(point: str) -> int:
    """The exit status of an smtpd that a failpoint killed: its own death, or its end when its writer died."""
    return 1 if point in OF_THE_WRITER else -signal.SIGKILL


class Client:
    """A raw SMTP client: says exactly the octets it is given."""

    def __init__(self, address: tuple[str, int], *, hello: bool = True, source: str | None = None) -> None:
        self.socket: socket.socket = socket.create_connection(address, SECONDS, (source, 0) if source else None)
        self._stream = self.socket.makefile("rb")
        self.greeting = self.reply()
        if hello and self.greeting.startswith("220"):
            assert self.say("EHLO client.test").startswith("250")

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> str:
        """One whole reply; "" when the server has closed."""
        lines = []
        while True:
            try:
                line = self._stream.readline()
            except ConnectionError:
                return ""
            lines.append(line.decode("ascii").rstrip("\r\n"))
            if line[3:4] != b"-":
                return "\n".join(lines)

    def say(self, line: str | bytes) -> str:
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def mail(self, *recipients: str, sender: str = "erika@outside.test", parameters: str = "") -> list[str]:
        """MAIL and RCPT; the replies to RCPT."""
        reply = self.say(f"MAIL FROM:<{sender}>{parameters}")
        assert reply.startswith("250"), reply
        return [self.say(f"RCPT TO:<{recipient}>") for recipient in recipients]

    def data(self, raw: bytes) -> str:
        """DATA with `raw` dot-stuffed and ended; the final reply."""
        reply = self.say("DATA")
        assert reply.startswith("354"), reply
        stuffed = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]
        self.send(stuffed + (b"" if raw.endswith(b"\r\n") or not raw else b"\r\n") + b".\r\n")
        return self.reply()

    def transaction(self, raw: bytes, *recipients: str) -> str:
        """A whole mail; the final reply."""
        self.mail(*recipients)
        return self.data(raw)

    def closed(self) -> bool:
        """Whether the server has closed, after any replies still on their way."""
        while True:
            reply = self.reply()
            if not reply:
                return True

    def starttls(self) -> str:
        reply = self.say("STARTTLS")
        if reply.startswith("220"):
            self.secure()
        return reply

    def secure(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        self._stream = self.socket.makefile("rb")


def commits_in_threads(report: Report) -> Courier:
    """Commits by threads of the test process; no writer is forked."""
    ours, theirs = socket.socketpair()

    def write() -> None:
        with theirs:
            writer.serve(theirs, lanes=2)

    threading.Thread(target=write, daemon=True).start()
    return Courier(report, ours, lambda: None)


class ServerInThread:
    """The server on a free loopback port, on the test's database, with limits of the test's own."""

    def __init__(self, *, certificate: Certificate | None = None, host: str = "127.0.0.1", **limits: Any) -> None:
        self.limits = Limits(**{"disk_floor": 0, "message_size": 2**20, **limits})
        self.certificate = certificate
        self.host = host
        self.views = ViewKeeper()
        self.address = ("", 0)
        self.server: Server
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self.server = Server(
            self.limits,
            self.views,
            hostname="einbox.test",
            commits=commits_in_threads,
            certificate=self.certificate,
        )
        self.address = await self.server.start(self.host, 0)
        self._up.set()
        await self._ended.wait()
        await self.server.stop(seconds=5)

    def __enter__(self) -> "ServerInThread":
        self.views.refresh()
        self._thread.start()
        assert self._up.wait(SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)

    def client(self, *, hello: bool = True, source: str | None = None) -> Client:
        return Client(self.address, hello=hello, source=source)

    def refresh(self) -> None:
        """Let the server see the database as it is now."""
        self.views.refresh(everything=True)

    def run(self, function: Callable[[], Any]) -> Any:
        """Run `function` in the server's loop."""

        async def call() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(SECONDS)


def database_url() -> str:
    """The URL of this thread's database, for processes."""
    config = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{config['NAME']}"
    user, password = quote(str(config["USER"]), safe=""), quote(str(config["PASSWORD"]), safe="")
    who = f"{user}:{password}" if password else user
    return f"postgres://{who}@{config['HOST']}:{config['PORT']}/{config['NAME']}"


class SmtpdProcess:
    """`manage.py smtpd` on the test's database; `environment` adds settings."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.log = home / "smtpd.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EINBOX_")}
        keys = {name: os.environ[name] for name in ("EINBOX_SECRET_KEY", "EINBOX_FIELD_KEYS")}
        self.environment = clean | keys | {
            "EINBOX_HOME": str(home),
            "EINBOX_DATABASE_URL": database_url(),
            "EINBOX_STORAGE_URL": f"file://{default_storage.path('')}",
            "EINBOX_SMTP": f"127.0.0.1:{self.port}",
            "EINBOX_HOSTNAME": "einbox.test",
            "EINBOX_DISK_FLOOR": "0",
            **environment,
        }  # fmt: skip
        self.process: subprocess.Popen[bytes]
        self.command: tuple[str, ...] = (sys.executable, "manage.py", "smtpd")
        self.pass_fds: tuple[int, ...] = ()
        self._leash = -1  # a pipe whose other end smtpd and its writer hold open

    def start(self) -> None:
        self._drop_leash()
        self._leash, held = os.pipe()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, pass_fds=(*self.pass_fds, held)
            )
        os.close(held)
        try:
            wait_for(self.listening, 60, what=f"smtpd to listen; its log: {self.log}")
        except BaseException:  # nobody will stop what has not begun
            self.process.kill()
            raise

    def listening(self) -> bool:
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
        try:
            Client(self.address, hello=False).close()
        except (OSError, ConnectionError):
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.ended(SECONDS)

    def ended(self, seconds: float = 10.0) -> int:
        """The exit status, once smtpd and its writer are gone."""
        status = self.process.wait(seconds)
        assert select.select([self._leash], [], [], seconds)[0], "smtpd left its writer behind"
        return status

    @property
    def writer(self) -> int:
        """The process id of its writer."""
        [pid] = descendants(self.process.pid) - {self.process.pid}
        return pid

    def _drop_leash(self) -> None:
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1

    def __enter__(self) -> "SmtpdProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(signal.SIGKILL)
        self._drop_leash()
        watcher.look(self.log.read_text(encoding="utf-8", errors="replace"), "the log of smtpd")
