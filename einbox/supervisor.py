"""Runs the services as one process tree: starts them, brings them back, stops them in order.

Knows nothing of what the services do; touches neither database nor settings. Times are seconds of the
monotonic clock.
"""

import json
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from einbox.process import ending_with_me, kill_group

logger = logging.getLogger(__name__)

BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # after the nth quick death in a row
QUICK = 5.0  # a service that lived less died quickly
LOOK_SECONDS = 0.2  # between two questions of `until_ready`
STOP_WITHIN = 9.0  # for the whole tree; the promise is 10


@dataclass(frozen=True)
class Service:
    """One child: its name in logs, its command line, and how long it may take to stop.

    `once`: it ends by itself and then stays away, unless it failed.
    """

    name: str
    arguments: tuple[str, ...]
    stop_seconds: float = 3.0
    once: bool = False


@dataclass
class Child:
    """What the supervisor remembers of one service."""

    service: Service
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    quick_deaths: int = 0
    start_at: float = 0.0
    done: bool = False


@dataclass
class Supervisor:
    """Runs `services` until SIGINT or SIGTERM; stops them in the given order.

    `state_file` always holds the process ids by name as JSON, for operators and fault tests.
    """

    services: Sequence[Service]
    state_file: Path
    until_ready: Callable[[], bool] | None = None  # asked again and again until it says True
    children: list[Child] = field(init=False)
    stopping: bool = field(default=False, init=False)
    impatient: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.children = [Child(service) for service in self.services]

    def run(self) -> None:
        """Block until a stop signal came and every child is gone."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        os.set_blocking(reader, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake select()
        try:
            while not self.stopping:
                self._start_due()
                self._sleep(reader)
                self._reap()
                if self.until_ready is not None and not self.stopping and self.until_ready():
                    self.until_ready = None
        finally:
            self._stop_all()
            with suppress(OSError):
                self.state_file.unlink(missing_ok=True)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.impatient = self.stopping  # a second signal means: now
        self.stopping = True

    def _sleep(self, reader: int) -> None:
        waiting = [child.start_at for child in self.children if child.process is None and not child.done]
        timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else None
        if self.until_ready is not None:
            timeout = LOOK_SECONDS if timeout is None else min(timeout, LOOK_SECONDS)
        ready, _, _ = select.select([reader], [], [], timeout)
        if ready:
            os.read(reader, 4096)

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [child for child in self.children if child.process is None and not child.done and child.start_at <= now]
        for child in due:
            self._start(child)
        if due:
            self._write_state()

    def _start(self, child: Child) -> None:
        child.started_at = time.monotonic()
        try:
            # A group of its own: Ctrl-C reaches only us, and what a dead service left behind can be killed.
            child.process = subprocess.Popen(  # noqa: S603 - our own command lines
                child.service.arguments,
                stdin=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=ending_with_me(),  # noqa: PLW1509 - this process has one thread
            )
        except OSError as error:  # no memory, no processes, no descriptors: perhaps in a while
            child.start_at = child.started_at + BACK_OFF[-1]
            logger.warning("%s could not be started: %s", child.service.name, type(error).__name__)

    def _write_state(self) -> None:
        pids = {child.service.name: child.process.pid for child in self.children if child.process}
        partial = self.state_file.with_suffix(".new")
        try:
            partial.write_text(json.dumps({"up": os.getpid(), **pids}), encoding="ascii")
            partial.replace(self.state_file)
        except OSError as error:  # a full disk must not end the services that wait for room
            logger.warning("%s could not be written: %s", self.state_file.name, type(error).__name__)

    def _reap(self) -> None:
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            kill_group(child.process.pid)
            if child.service.once and child.process.returncode == 0:
                child.process, child.done = None, True
                self._write_state()
                continue
            now = time.monotonic()
            child.quick_deaths = child.quick_deaths + 1 if now - child.started_at < QUICK else 0
            delay = BACK_OFF[min(child.quick_deaths, len(BACK_OFF) - 1)]
            child.start_at = now + delay
            if not self.stopping:
                logger.warning(
                    "%s ended (%s), starting again in %.1f s", child.service.name, child.process.returncode, delay
                )
            child.process = None

    def _stop_all(self) -> None:
        deadline = time.monotonic() + STOP_WITHIN
        for child in self.children:
            self._stop(child, deadline)

    def _stop(self, child: Child, deadline: float) -> None:
        if child.process is None:
            return
        child.process.terminate()
        patience = min(child.service.stop_seconds, max(0.1, deadline - time.monotonic()))
        until = time.monotonic() + (0.1 if self.impatient else patience)
        while time.monotonic() < until and not self.impatient:
            try:
                child.process.wait(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                continue
        kill_group(child.process.pid)
        child.process.wait()
        child.process = None
