"""What a drill needs of a primary, and the one it uses by itself: a child process that keeps a log."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from django.conf import settings

from einbox.drill.sink import read_log
from einbox.process import ending_with_me


class Primary(Protocol):
    """A mail server on loopback that can die and come back, and knows what it was given."""

    port: int

    def start(self, domains: Sequence[str]) -> None:
        """Start accepting mail for `domains`; returns once that is under way."""

    def kill(self) -> None:
        """End at once, without a farewell; nothing when it does not run."""

    def kept(self) -> list[dict[str, str]]:
        """One entry a recipient and copy: token, recipient, sha256 (einbox.drill.sink), sender."""


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """A child in a group of its own that dies with this process; its output goes to `log`."""
    with log.open("ab") as stream:
        return subprocess.Popen(  # noqa: S603 - our own command lines
            command,
            env=dict(environment or os.environ),
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            process_group=0,
            preexec_fn=ending_with_me(),  # noqa: PLW1509 - started before any thread of the drill
        )


@dataclass
class Sink:
    """einbox.drill.sink as a child process; `delay` is the seconds it takes for each message."""

    directory: Path
    port: int
    delay: float = 0.0
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.directory / "primary.jsonl"

    def start(self, domains: Sequence[str]) -> None:
        command = [sys.executable, "-m", "einbox.drill.sink", "--port", str(self.port), "--log", str(self.log)]
        self.process = spawn([*command, "--delay", str(self.delay)], self.directory / "primary.log")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def kept(self) -> list[dict[str, str]]:
        return read_log(self.log)
