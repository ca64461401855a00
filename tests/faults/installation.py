"""A throw-away installation whose commands run as real processes, and the killer that strikes them."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.doubles.redis import RedisServer
from tests.planted import watcher

ROOT = Path(__file__).resolve().parents[2]
LEASING = {"worker", "watch"}  # each death of theirs costs the time of a lease: they die inside once, unawaited
LIFE = 6.0  # seconds; the supervisor calls a life of less than 5 s a quick death
# Points inside an open transaction, transfer or request, by the process that passes them.
FAILPOINTS = {
    "smtpd": ("smtpd.mid_data", "smtpd.after_dot", "smtpd.after_write", "smtpd.after_commit"),
    "worker": (
        "deliver.after_lease",
        "deliver.after_rcpt",
        "deliver.mid_data",
        "deliver.after_dot",
        "deliver.before_commit",
        "deliver.after_commit",
        "parsing.before_commit",
    ),
    "web": ("web.before_response", "submit.store"),
    "watch": ("watch.after_probe", "watch.before_commit"),
}


@dataclass
class Installation:
    """One EINBOX_HOME; on the embedded default, or on TEST_DATABASE_URL and a broker with `services`."""

    home: Path
    extra: dict[str, str] = field(default_factory=dict)
    redis: RedisServer | None = None

    def __post_init__(self) -> None:
        self.failpoints = self.home / "failpoints.txt"
        self.failpoints.write_text("")

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EINBOX_")}
        clean |= {"EINBOX_HOME": str(self.home), "EINBOX_FAILPOINTS_FILE": str(self.failpoints)}
        return clean | {"DJANGO_SETTINGS_MODULE": "einbox.settings"} | self.extra

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.Popen(
            command, env=self.environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def drill(self, *arguments: str, seconds: float = 300) -> tuple[int, dict[str, Any], str]:
        """Exit code, ledger and what was said on standard error."""
        process = self.start("drill", "--json", *arguments)
        return self.ledger_of(process, seconds=seconds)

    @staticmethod
    def ledger_of(process: "subprocess.Popen[str]", *, seconds: float) -> tuple[int, dict[str, Any], str]:
        out, error = process.communicate(timeout=seconds)
        watcher.look(error, "the output of a drill")
        return process.returncode, json.loads(out) if out.strip() else {}, error

    def pids(self) -> dict[str, int]:
        """The drill's processes by service, as its supervisor last wrote them."""
        for path in self.home.glob("drill-*/processes.json"):
            try:
                return dict(json.loads(path.read_text()))
            except (OSError, ValueError):
                continue
        return {}


@dataclass
class Killer:
    """Strikes services in turn: a SIGKILL from outside, then `hits_per_strike` deaths at failpoints within.

    So most deaths fall inside an open transaction, transfer or request: the next one is struck when these have come,
    or after `patience` seconds, as some have nothing left to do. Ends after `wanted` strikes.
    """

    installation: Installation
    seed: int
    wanted: int = 11
    hits_per_strike: int = 2
    pause: float = 3.0  # seconds between strikes
    patience: float = 20.0  # longer than a start takes on a busy machine
    strikes: Counter[str] = field(default_factory=Counter)  # from outside, by service
    hits: Counter[str] = field(default_factory=Counter)  # at a failpoint, by service
    _last: tuple[str, float] = ("", 0.0)  # who was struck, and when (time.monotonic())
    _armed: dict[str, str] = field(default_factory=dict)
    _again: Counter[str] = field(default_factory=Counter)  # deaths at a failpoint still to come, by service
    _stop: threading.Event = field(default_factory=threading.Event)
    _born: dict[tuple[str, int], float] = field(default_factory=dict)  # when each process was first seen

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._order: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def report(self) -> dict[str, Any]:
        total = self.strikes + self.hits
        return {"kills": total.total(), "inside": self.hits.total(), "by_service": dict(total)}

    def _run(self) -> None:
        next_strike = time.monotonic() + self.pause
        while not self._stop.wait(0.02):
            for service in FAILPOINTS:
                if self._fired(service) > self.hits[service]:
                    self.hits[service] = self._fired(service)
                    self._again[service] -= 1
                    self._arm(service)
            current = self.installation.pids()
            due = time.monotonic() > next_strike and self.strikes.total() < self.wanted and self._settled()
            if set(FAILPOINTS) <= set(current) and self._lived(current) > LIFE and due:
                self._strike(current)
                next_strike = time.monotonic() + self.pause

    def _settled(self) -> bool:
        """Whether the one struck last has died inside as often as it should, or had the time to."""
        service, at = self._last
        return service in LEASING or self._again[service] <= 0 or time.monotonic() > at + self.patience

    def _fired(self, service: str) -> int:
        """Kills at the failpoints of `service` so far (spool.failpoints leaves a file for each)."""
        listed = self.installation.failpoints
        return sum(len(list(listed.parent.glob(f"{listed.name}.{point}.*"))) for point in FAILPOINTS[service])

    def _lived(self, current: dict[str, int]) -> float:
        """Seconds for which the next one to be struck has lived.

        Who dies again at once is started ever later: without some life in between there would be no mail at all.
        """
        services = sorted(set(current) - {"up"})  # in production beat is one of them; it passes no failpoint
        self._order = self._order or self._dice.sample(services, k=len(services))
        now = time.monotonic()
        self._born = {life: self._born.get(life, now) for life in current.items()}
        return now - self._born.get((self._order[-1], current.get(self._order[-1], 0)), now)

    def _strike(self, current: dict[str, int]) -> None:
        service = self._order.pop()
        self._again[service] = 1 if service in LEASING else self.hits_per_strike if service in FAILPOINTS else 0
        self._last = service, time.monotonic()
        self._arm(service)
        with suppress(ProcessLookupError, KeyError):  # it died by itself just now
            os.kill(current[service], signal.SIGKILL)
            self.strikes[service] += 1

    def _arm(self, service: str) -> None:
        """Whoever of `service` starts next dies at one of two of its failpoints, once it passed it often enough."""
        possible = FAILPOINTS.get(service, ()) if self._again[service] > 0 else ()
        # Not all: a prefork worker's children share one list, and each death in a delivery costs a lease.
        points = self._dice.sample(possible, k=min(2, len(possible)))
        self._armed[service] = ",".join(f"{point}=kill:{self._dice.randint(1, 4)}" for point in points)
        self._write()

    def _write(self) -> None:
        self.installation.failpoints.write_text(",".join(filter(None, self._armed.values())))
