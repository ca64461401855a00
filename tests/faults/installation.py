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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Points inside an open transaction, transfer or request; {n} is how often the point is passed first.
FAILPOINTS = {
    "smtpd": ("smtpd.mid_data", "smtpd.after_dot", "smtpd.after_write", "smtpd.after_commit"),
    "worker": (
        "deliver.after_lease",
        "deliver.after_rcpt",
        "deliver.mid_data",
        "deliver.after_dot",
        "deliver.before_commit",
        "parsing.before_commit",
    ),
    "web": ("web.before_response", "submit.before_commit"),
    "watch": ("watch.after_probe", "watch.before_commit"),
}


@dataclass
class Installation:
    """One EINBOX_HOME; on the embedded default, or on TEST_DATABASE_URL and a broker with `services`."""

    home: Path
    extra: dict[str, str] = field(default_factory=dict)

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
    """Kills services at random until told to stop: half by a signal from outside, half at a failpoint within.

    A service killed from outside starts again with a fresh failpoint armed, so that its next death falls
    inside an open transaction, transfer or request.
    """

    installation: Installation
    seed: int
    pause: float = 1.5  # seconds between strikes
    strikes: Counter[str] = field(default_factory=Counter)  # from outside, by service
    hits: Counter[str] = field(default_factory=Counter)  # by themselves, at a failpoint
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def total(self) -> int:
        return self.strikes.total() + self.hits.total()

    def report(self) -> dict[str, Any]:
        return {"kills": self.total, "inside": self.hits.total(), "by_service": dict(self.strikes + self.hits)}

    def _run(self) -> None:
        known: dict[str, int] = {}
        struck: set[int] = set()
        next_strike = time.monotonic()
        order: list[str] = []
        while not self._stop.wait(0.05):
            current = self.installation.pids()
            for service, pid in known.items():
                if current.get(service, pid) != pid and pid not in struck and service in FAILPOINTS:
                    self.hits[service] += 1
            known = current or known
            if time.monotonic() < next_strike or not set(FAILPOINTS) <= set(current):
                continue
            if not order:
                order = self._dice.sample(sorted(FAILPOINTS), k=len(FAILPOINTS))
            service = order.pop()
            self._arm()
            struck.add(current[service])
            if self._kill(current[service]):
                self.strikes[service] += 1
            next_strike = time.monotonic() + self.pause

    def _arm(self) -> None:
        """Every service that starts from now on dies at one of its failpoints."""
        points = [f"{self._dice.choice(points)}=kill:{self._dice.randint(1, 6)}" for points in FAILPOINTS.values()]
        self.installation.failpoints.write_text(",".join(points))

    def disarm(self) -> None:
        self.installation.failpoints.write_text("")

    @staticmethod
    def _kill(pid: int) -> bool:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True
