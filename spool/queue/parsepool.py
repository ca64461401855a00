"""A small pool of killable processes that read mail; one job at a time each. No database, no Django models.

A job that takes too long, uses too much memory or crashes costs its process and nothing else. Safe to use from any
number of threads. Children inherit an empty environment: no key and no secret reaches them.
"""

import fcntl
import json
import os
import queue
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spool.queue.parsechild import FRAME

ROOT = str(Path(__file__).resolve().parents[2])
SECONDS = 10  # wall clock of one job
MEMORY = 512 * 2**20  # octets of address space of one process
JOBS_PER_CHILD = 10_000  # starting one costs as much as reading 400 messages
START = 15  # seconds in which a process must be ready; a busy machine takes some
PATIENCE = 2  # seconds of one job while others wait behind it in the same process
WAIT = 15.0  # seconds a caller waits for a free process
MAX_HEAD, MAX_BODY = 16 * 2**20, 1 << 30
PIPE_SIZE = 2**20
READ = 64 * 2**10  # octets; a larger buffer would be mapped and unmapped each time
F_SETPIPE_SZ = 1031


class ReadingError(Exception):
    """A message could not be read; the text says why in a word. Never holds content."""


class CrashedError(ReadingError):
    """The process ended without an answer."""


class PoolBusyError(ReadingError):
    """Every reading process was busy for too long."""


@dataclass(frozen=True)
class Reply:
    head: dict[str, Any]
    body: bytes


class _Child:
    """One process and its pipes. Any failure leaves it dead."""

    def __init__(self, seconds: int, memory: int) -> None:
        # No PR_SET_PDEATHSIG: it fires when the *thread* that started the child ends. The child watches its input.
        self.process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "spool.queue.parsechild", str(seconds), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": ROOT, "PYTHONHASHSEED": "random", "LC_ALL": "C.UTF-8"},
            cwd="/",
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin.fileno(), self.process.stdout.fileno()
        for descriptor in (self.input, self.output):
            os.set_blocking(descriptor, False)
            with suppress(OSError):
                fcntl.fcntl(descriptor, F_SETPIPE_SZ, PIPE_SIZE)
        self.jobs = 0

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self.process.wait()

    def await_start(self, seconds: int) -> None:
        """Return once it is ready for jobs, so that none of them pays for a slow start. Raises ReadingError."""
        for _ready in self.exchange([[]], seconds):
            self.jobs = 0

    def exchange(self, jobs: list[list[bytes]], seconds: int) -> Iterator[Reply]:
        """Send jobs one after the other and yield their answers in order, each within `seconds` of the one before.

        Raises ReadingError; the caller kills the child then. The first job without an answer is the one to blame.
        """
        pending = [memoryview(frame) for frames in jobs for frame in frames if frame]
        answer = bytearray()
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        poll.register(self.input, select.POLLOUT)
        for _job in jobs:
            self.jobs += 1
            deadline = time.monotonic() + seconds
            while (reply := _complete(answer)) is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ReadingError("time")
                for descriptor, _ in poll.poll(left * 1_000):
                    if descriptor == self.input:
                        self._send(pending, poll)
                    else:
                        self._receive(answer)
            yield reply

    def _send(self, pending: list[memoryview], poll: select.poll) -> None:
        try:
            while pending:
                sent = os.write(self.input, pending[0][:PIPE_SIZE])
                pending[0] = pending[0][sent:]
                if not pending[0]:
                    del pending[0]
        except BlockingIOError:
            return
        except OSError as error:
            raise CrashedError("crash") from error
        poll.unregister(self.input)

    def _receive(self, answer: bytearray) -> None:
        try:
            data = os.read(self.output, READ)
        except BlockingIOError:
            return
        if not data:
            raise CrashedError("crash")
        answer += data


def _complete(answer: bytearray) -> Reply | None:
    """The first whole answer of what was received, taken out of it."""
    if len(answer) < FRAME.size:
        return None
    head_size, body_size = FRAME.unpack_from(answer)
    if head_size > MAX_HEAD or body_size > MAX_BODY:
        raise ReadingError("answer")
    if len(answer) < FRAME.size + head_size + body_size:
        return None
    try:
        head = json.loads(answer[FRAME.size : FRAME.size + head_size])
    except ValueError as error:
        raise ReadingError("answer") from error
    end = FRAME.size + head_size + body_size
    reply = Reply(head, bytes(answer[FRAME.size + head_size : end]))
    del answer[:end]
    return reply


class ParsePool:
    """At most `size` processes, started when first needed and replaced when they die or have worked enough."""

    def __init__(self, size: int = 2, *, seconds: int = SECONDS, memory: int = MEMORY, jobs: int = JOBS_PER_CHILD):
        self.size, self.seconds, self.memory, self.jobs = size, seconds, memory, jobs
        self.pid = os.getpid()
        self.closed = False
        self._slots: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(size):
            self._slots.put(None)

    def run(self, job: str, raw: bytes, **options: Any) -> Reply:
        """Do one job in a process. Raises ReadingError (time, crash, or the child's error), PoolBusyError."""
        [answer] = self.run_many(job, [raw], **options)
        if isinstance(answer, ReadingError):
            raise answer
        return answer

    def run_many(self, job: str, raws: Sequence[bytes], **options: Any) -> list[Reply | ReadingError]:
        """Do the same job for several messages in one process, without waiting for one before sending the next.

        What one message does to the process costs the others nothing: they are sent again to a new one. Among
        several each has only PATIENCE. Raises PoolBusyError.
        """
        head = json.dumps({"job": job, **options}).encode()
        jobs = [[FRAME.pack(len(head), len(raw)) + head, raw] for raw in raws]
        try:
            child = self._slots.get(timeout=WAIT)
        except queue.Empty:
            raise PoolBusyError("busy") from None
        answers: list[Reply | ReadingError] = []
        try:
            while len(answers) < len(jobs):
                child = self._work(child, jobs, answers)
        except BaseException:
            if child is not None:
                child.kill()
            child = None
            raise
        finally:
            if self.closed and child is not None:
                child.kill()
                child = None
            self._slots.put(child)
        return answers

    def _work(
        self, child: _Child | None, jobs: list[list[bytes]], answers: list[Reply | ReadingError]
    ) -> _Child | None:
        """Add answers until all jobs have one or the child is lost; the child, None if it was lost."""
        try:
            child = self._fit(child)
        except ReadingError as error:
            answers.append(error)
            return None
        fresh = child.jobs == 0
        begun = len(answers)
        seconds = self.seconds if len(jobs) == 1 else min(self.seconds, PATIENCE)
        try:
            for reply in child.exchange(jobs[begun:], seconds):
                if "error" in reply.head:
                    raise ReadingError(str(reply.head["error"])[:60])
                answers.append(reply)
        except CrashedError as error:
            # A process that answered nothing may have been dead already: that says nothing about this job.
            if fresh or len(answers) > begun:
                answers.append(error)
        except ReadingError as error:
            answers.append(error)
        except BaseException:
            child.kill()
            raise
        else:
            return child
        child.kill()
        return None

    def _fit(self, child: _Child | None) -> _Child:
        if self.closed:
            raise ReadingError("stopped")
        if child is not None and child.alive and child.jobs < self.jobs:
            return child
        return self._replaced(child)

    def _replaced(self, child: _Child | None) -> _Child:
        if child is not None:
            child.kill()
        try:
            fresh = _Child(self.seconds, self.memory)
        except OSError as error:
            raise ReadingError("start") from error
        try:
            fresh.await_start(START)
        except BaseException as error:
            fresh.kill()
            if isinstance(error, ReadingError):
                raise ReadingError("start") from error
            raise
        return fresh

    def pids(self) -> list[int]:
        """The process ids of the idle children (for tests and diagnosis)."""
        with self._slots.mutex:
            return [child.process.pid for child in self._slots.queue if child is not None]

    def stop(self) -> None:
        """Kill idle children now and busy ones when their job ends."""
        self.closed = True
        idle: list[_Child | None] = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._slots.get_nowait())
        for child in idle:
            if child is not None:
                child.kill()
            self._slots.put(None)
