"""Group commit: takes all that is pending from all sessions, writes it in one transaction, then they get their 250.

The next batch gathers while the previous one is synced, and then for a part of the time that this took: sessions that
were answered together come back together, and the first of them shall not be synced alone. Runs in threads of its own,
in smtpd's writer process, and touches no socket. In doubt nothing is said to be stored, which a session answers with
451 (rule 1).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from spool.failpoints import failpoint
from spool.queue import content, ingest
from spool.queue.ingest import Ready, Stored
from spool.smtpd.frames import Take, Written
from spool.smtpd.job import memory

log = logging.getLogger(__name__)

MAX_MESSAGES = 500
# Each message of a batch holds a lock on its content; PostgreSQL's table of locks has room for some 6,400 of all its
# clients (64 for each of 100 connections), and whoever finds it full fails, whatever he does.
LOCKS = 4000
MAX_OCTETS = 32 * 2**20
SQLITE_PAUSE = 0.002  # seconds after a commit, so that others can write (one writer)
# For as many messages as were in the last batch it waits for a part of the time of the last sync, and for no more than
# these seconds: whatever a storage did once, lone mail is soon asked of it again.
GATHER, GATHER_MOST = 0.5, 0.05
# Seconds for which a lane waits until another has written its rows. Two that write at once only take the interpreter
# from each other; while one is synced the next shall write. A longer wait would be for a lock on somebody's message, or
# for mail so large or so much that a second hand helps.
TURN = 0.25
BUSY_MS = 6_000  # milliseconds; a sender hears 451 before 10 s


class Turn:
    """One thread at a time, unless it keeps the others for longer than TURN."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mine = threading.local()

    def take(self) -> None:
        self._mine.held = self._lock.acquire(timeout=TURN)

    def pass_on(self) -> None:
        """The next one's turn; nothing if this thread has none."""
        if getattr(self._mine, "held", False):
            self._mine.held = False
            self._lock.release()


class Committer:
    """`lanes` threads, each with a connection of its own. `report` is called from them."""

    def __init__(self, report: Callable[[Sequence[Written]], None], *, lanes: int = 1) -> None:
        self._report = report
        self._takes: deque[Take] = deque()
        self._ready = threading.Condition()
        self._turn = Turn()
        self._stopping = False
        self._last_size, self._last_sync = 0, 0.0  # messages and seconds of the last batch of any lane
        sqlite = connection.vendor == "sqlite"
        self._pause = SQLITE_PAUSE if sqlite else 0.0
        count = 1 if sqlite else lanes
        self._most = MAX_MESSAGES if sqlite else min(MAX_MESSAGES, LOCKS // (lanes * settings.SMTPD_PROCESSES))
        self._threads = [
            threading.Thread(target=self._run, name=f"smtpd-commit-{n}", daemon=True) for n in range(count)
        ]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, take: Take) -> None:
        with self._ready:
            self._takes.append(take)
            self._ready.notify_all()  # whoever gathers, and whoever is idle

    def cancel(self, number: int) -> None:
        """Its sender was told 451: if no lane has it yet, none will, and its content is let go."""
        with self._ready:
            waiting = next((take for take in self._takes if take.number == number), None)
            if waiting is not None:
                self._takes.remove(waiting)
        if waiting is not None:
            content.discard(waiting.ready.content)
            self._report([Written(number, None)])

    def finish(self, *, timeout: float) -> None:
        """Finish what is pending, then end the threads."""
        deadline = time.monotonic() + timeout
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _take(self) -> list[Take]:
        """All that is pending, within bounds, and the turn to write it; empty only when stopping."""
        while self._wait():
            self._turn.take()
            if batch := self._take_pending():
                return batch
            self._turn.pass_on()
        return []

    def _wait(self) -> bool:
        """Until something is pending; False: nothing is, and nothing will be."""
        with self._ready:
            while not self._takes and not self._stopping:
                self._ready.wait()
            return bool(self._takes)

    def _take_pending(self) -> list[Take]:
        batch: list[Take] = []
        octets = 0
        with self._ready:
            if self._takes:
                self._gather()
            while self._takes and len(batch) < self._most and (not batch or octets < MAX_OCTETS):
                take = self._takes.popleft()
                batch.append(take)
                octets += memory(take.ready.content.size, len(take.ready.incoming.recipients))
        return batch

    def _gather(self) -> None:
        """Give those who were answered together the time to come back. Others may take all meanwhile."""
        until = time.monotonic() + min(GATHER * self._last_sync, GATHER_MOST)
        while len(self._takes) < self._last_size and not self._stopping and (left := until - time.monotonic()) > 0:
            self._ready.wait(left)

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._report(self._committed(batch))
                if self._pause:
                    time.sleep(self._pause)
        finally:
            connection.close()

    def _committed(self, batch: Sequence[Take]) -> list[Written]:
        try:
            return self.commit(batch)
        finally:
            self._turn.pass_on()

    def commit(self, batch: Sequence[Take]) -> list[Written]:
        """Write a batch; a batch that fails on data is written one by one, so that only the guilty one fails."""
        try:
            stored = self._write([take.ready for take in batch])
        except (OperationalError, InterfaceError, OSError) as error:
            log.warning("the database could not take %d messages: %s", len(batch), type(error).__name__)
            _forget_connection()
            return [Written(take.number, None) for take in batch]
        except Exception as error:
            if len(batch) == 1:
                # A row it points to was removed a moment ago: expected, and anybody can repeat it for some seconds.
                expected = isinstance(error, IntegrityError)
                log.error("a message could not be stored: %s", type(error).__name__, exc_info=not expected)
                return [Written(batch[0].number, None)]
            log.warning("a batch of %d failed, going one by one: %s", len(batch), type(error).__name__)
            return self._one_by_one(batch)
        return [Written(take.number, result) for take, result in zip(batch, stored, strict=True)]

    def _one_by_one(self, batch: Sequence[Take]) -> list[Written]:
        written: list[Written] = []
        deadline = time.monotonic() + BUSY_MS / 1000
        for take in batch:
            late = time.monotonic() > deadline
            written += [Written(take.number, None)] if late else self.commit([take])
        return written

    def _write(self, items: Sequence[Ready]) -> list[Stored]:
        _bound_waiting()
        with transaction.atomic():
            stored = ingest.store(items, now=timezone.now())
            failpoint("smtpd.after_write")
            self._turn.pass_on()
            written = time.monotonic()
        self._last_size, self._last_sync = len(items), time.monotonic() - written
        failpoint("smtpd.after_commit")
        return stored


def _bound_waiting() -> None:
    """A fresh connection waits for locks no longer than a sender may wait. Raises DatabaseError.

    A commit that fails is better than one that succeeds after its sender was told 451 and has come again.
    """
    if connection.connection is not None:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        else:
            cursor.execute(f"SET lock_timeout = {BUSY_MS}; SET statement_timeout = {BUSY_MS + 1000}")


def _forget_connection() -> None:
    try:
        connection.close()
    except DatabaseError:  # it was gone already
        log.info("the connection could not be closed cleanly")
