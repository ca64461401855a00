"""Runs the services as one process tree: forks them, brings them back, stops them in order.

Forked, a service finds all code loaded: it starts at once and shares the memory. The process that calls this has
one thread and no open connection. Knows nothing of what the services do; touches neither database nor settings.
Times are seconds of the monotonic clock.
"""

import json
import logging
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from einbox.process import call_it, end_with, kill_group

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

OPEN_DESCRIPTORS = Path("/proc/self/fd" if sys.platform.startswith("linux") else "/dev/fd")

BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # after the nth quick death in a row
QUICK = 5.0  # a service that lived less died quickly
LOOK_SECONDS = 0.2  # between two questions of `until_ready`
STOP_WITHIN = 9.0  # for the whole tree; the promise is 10
KILLED_WITHIN = 0.5  # killed processes are gone by then, unless a storage holds them: nobody waits for that


@dataclass(frozen=True)
class Service:
    """One child: its name in logs, what it does, and how long it may take to stop.

    `once`: it ends by itself and then stays away, unless it failed. `finishes`: told to stop it begins nothing new, so
    that the others are stopped while it finishes what it has.
    """

    name: str
    run: Callable[[], None]
    stop_seconds: float = 3.0
    once: bool = False
    finishes: bool = False


@dataclass
class Child:
    """What the supervisor remembers of one service."""

    service: Service
    pid: int | None = None
    started_at: float = 0.0
    quick_deaths: int = 0
    start_at: float = 0.0
    done: bool = False


@dataclass
class Supervisor:
    """Runs `services` until SIGINT, SIGTERM or SIGHUP; stops them in the given order.

    `state_file` always holds the process ids by name as JSON, for operators and fault tests.
    """

    services: Sequence[Service]
    state_file: Path
    until_ready: Callable[[], bool] | None = None  # asked again and again until it says True
    children: list[Child] = field(init=False)
    wakeup: tuple[int, int] = field(init=False)  # a pipe; each signal writes to it
    stopping: bool = field(default=False, init=False)
    impatient: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.children = [Child(service) for service in self.services]

    def run(self) -> None:
        """Block until a stop signal came and every child is gone."""
        self.wakeup = reader, writer = os.pipe()
        os.set_blocking(writer, False)
        os.set_blocking(reader, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake select()
        try:
            while not self.stopping:
                self._start_due()
                self._sleep(self._patience())
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

    def _patience(self) -> float | None:
        """Seconds until something is to be done; None: nothing is, until a signal comes."""
        waiting = [child.start_at for child in self.children if child.pid is None and not child.done]
        timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else None
        if self.until_ready is not None:
            timeout = LOOK_SECONDS if timeout is None else min(timeout, LOOK_SECONDS)
        return timeout

    def _sleep(self, seconds: float | None) -> None:
        ready, _, _ = select.select(self.wakeup[:1], [], [], seconds)
        if ready:
            os.read(self.wakeup[0], 4096)

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [child for child in self.children if child.pid is None and not child.done and child.start_at <= now]
        for child in due:
            self._start(child)
        if due:
            self._write_state()

    def _start(self, child: Child) -> None:
        child.started_at, parent = time.monotonic(), os.getpid()
        _flush()  # or the child would say it once more
        try:
            with held_back(SIGNALS):  # one that came before the child has its own handlers would be lost on it
                child.pid = os.fork()
                if not child.pid:
                    become(child.service, parent)
        except OSError as error:  # no memory, no processes: perhaps in a while
            child.start_at = child.started_at + BACK_OFF[-1]
            logger.warning("%s could not be started: %s", child.service.name, type(error).__name__)
            return
        with suppress(OSError):
            os.setpgid(child.pid, child.pid)  # as the child does; whoever comes first

    def _write_state(self) -> None:
        pids = {child.service.name: child.pid for child in self.children if child.pid}
        partial = self.state_file.with_suffix(".new")
        try:
            partial.write_text(json.dumps({"up": os.getpid(), **pids}), encoding="ascii")
            partial.replace(self.state_file)
        except OSError as error:  # a full disk must not end the services that wait for room
            logger.warning("%s could not be written: %s", self.state_file.name, type(error).__name__)

    def _reap(self) -> None:
        for child in self.children:
            if (status := self._ended(child)) is None:
                continue
            if child.service.once and status == 0:
                child.done = True
                self._write_state()
                continue
            now = time.monotonic()
            child.quick_deaths = child.quick_deaths + 1 if now - child.started_at < QUICK else 0
            delay = BACK_OFF[min(child.quick_deaths, len(BACK_OFF) - 1)]
            child.start_at = now + delay
            if not self.stopping:
                logger.warning("%s ended (%s), starting again in %.1f s", child.service.name, status, delay)

    def _ended(self, child: Child) -> int | None:
        """The exit status (negative: the signal) of a child that has ended; whatever it left is killed. Else None."""
        if child.pid is None:
            return None
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if not pid:
            return None
        kill_group(pid)
        child.pid = None
        return os.waitstatus_to_exitcode(status)

    def _stop_all(self) -> None:
        """In the given order, each when the one before is gone; those that finish are waited for at the end."""
        began = time.monotonic()
        running = [child for child in self.children if child.pid is not None]
        finishing = [child for child in running if child.service.finishes]
        for child in finishing:
            self._ask_to_end(child)
        for child in running:
            if child not in finishing:
                self._ask_to_end(child)
                patience = min(child.service.stop_seconds, max(0.1, began + STOP_WITHIN - time.monotonic()))
                self._see_off(child, time.monotonic() + patience)
        for child in finishing:
            self._see_off(child, began + min(child.service.stop_seconds, STOP_WITHIN))
        until = time.monotonic() + KILLED_WITHIN
        while any(self._ended(child) is None and child.pid for child in running) and time.monotonic() < until:
            self._sleep(0.01)

    def _ask_to_end(self, child: Child) -> None:
        if child.pid is not None:
            os.kill(child.pid, signal.SIGTERM)

    def _see_off(self, child: Child, until: float) -> None:
        """Wait for a child that was asked to end until `until`, or until the second signal; then it is killed."""
        while child.pid is not None and self._ended(child) is None and not self.impatient and time.monotonic() < until:
            self._sleep(0.1)
        if child.pid is not None:
            kill_group(child.pid)


def become(service: Service, parent: int) -> NoReturn:
    """A forked child's whole life, with nothing of its supervisor but what was loaded."""
    status = 1
    try:
        end_with(parent)
        _let_go()
        call_it(service.name)
        service.run()
        status = 0
    except SystemExit as leaving:
        status = _last_words(leaving.code)
    except BaseException:  # noqa: BLE001 - whatever it is, the child never goes on as a second supervisor
        traceback.print_exc()
    finally:
        try:
            _flush()
        finally:  # also when a signal comes within: the child's end is here
            os._exit(status)


def _last_words(code: object) -> int:
    """The exit status for what sys.exit() was given; a text is said."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)  # noqa: T201
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody listens
            stream.flush()


def _let_go() -> None:
    """A group of its own: Ctrl-C reaches only the supervisor, and what a dead service left behind can be killed.

    No descriptor but the standard ones, no input, and signals as in a fresh process.
    """
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _close_from(3)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that came before the group was there
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _close_from(first: int) -> None:
    """Close them all; what is above the limit, which may have been lowered since, where the system lists it."""
    end = os.sysconf("SC_OPEN_MAX")
    with suppress(OSError):
        end = max(end, *(int(entry.name) + 1 for entry in OPEN_DESCRIPTORS.iterdir()))
    os.closerange(first, end)


@contextmanager
def held_back(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Let these signals wait until the block has ended, in this process and in one that was forked within."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
