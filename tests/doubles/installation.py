"""A real einbox on a state directory and ports of its own, started with `manage.py up` as an operator would."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.planted import watcher
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
_given: set[int] = set()  # by free_port in this process


def free_port() -> int:
    """A port nobody listens on now, nor on the next one: below those that the system gives to outgoing connections."""
    dice = random.SystemRandom()
    while True:
        port = dice.randrange(10_240, 32_000, 2)
        if port in _given:  # free still, and somebody's in a moment: one installation asks twice
            continue
        with socket.socket() as one, socket.socket() as following, suppress(OSError):
            one.bind(("127.0.0.1", port))
            following.bind(("127.0.0.1", port + 1))
            _given.add(port)
            return port


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def tree(home: Path) -> set[int]:
    """Every process whose environment names `home` as its state directory."""
    wanted = f"EINBOX_HOME={home}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0") and alive(int(entry.name)):
            found.add(int(entry.name))
    return found


class Installation:
    """`with Installation(home) as box:` starts `up`; leaving the block stops it hard and checks nothing."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        self.home = home
        self.web_port, self.smtp_port = free_port(), free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("EINBOX_", "COV_CORE"))}
        self.environment = kept | {
            "EINBOX_HOME": str(home),
            "EINBOX_WEB": f"127.0.0.1:{self.web_port}",
            "EINBOX_SMTP": f"127.0.0.1:{self.smtp_port}",
            **environment,
        }
        self.arguments = arguments or ("up",)
        self.log = home.with_name(f"{home.name}.log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Installation":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), *self.arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        return self

    def manage(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run another command of the same installation to its end."""
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def fetch(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body of a GET; (0, "") while nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.web_port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_until_up(self, seconds: float = 180) -> None:
        wait_for(lambda: self.fetch("/healthz")[0] == 200, seconds=seconds, what=f"web, see {self.output()}")

    def pids(self) -> dict[str, int]:
        """Process ids by service name, as the supervisor wrote them."""
        try:
            return dict(json.loads((self.home / "processes.json").read_text(encoding="ascii")))
        except (OSError, ValueError):
            return {}

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Signal the supervisor and wait; its exit code."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(timeout=seconds)

    def __enter__(self) -> "Installation":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in tree(self.home):
            with suppress(ProcessLookupError):  # it dies with its supervisor
                os.kill(pid, signal.SIGKILL)
        watcher.look(self.output(), "the output of an installation")
