"""Ingestion: claims accepted messages that nobody has read, reads them in the pool, stores what was found.

A claim is a lease in the row, taken by a conditional update; the lease also says when a failed message is tried
again. No transaction is open while a message is read. Results are stored as they come, so a message that hangs
delays no other; after ATTEMPTS failures it is marked, and stays listed, downloadable and deliverable.
"""

import logging
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Q

from spool.enums import ParseState
from spool.models import Message
from spool.queue import content
from spool.queue.parsepool import ParsePool, PoolBusyError, ReadingError, Reply
from spool.queue.parseresult import Result, store

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=5)
CLAIM = 200  # messages a claim takes
TOGETHER = 16  # messages, and TOGETHER_OCTETS, that a process gets at once
TOGETHER_OCTETS = 512 * 2**10
STORE = 100  # results a transaction stores at most, and every STORE_SECONDS what there is
STORE_SECONDS = 0.5
# fmt: off
USED = (  # columns of a claimed message
    "id", "size", "content_key", "content", "content_file", "purged_at", "message_id", "subject", "from_name",
    "from_address", "parse_attempts",
)
# fmt: on
BUDGET = 60.0  # seconds after which no further message is begun


def claim(*, now: datetime, limit: int) -> list[Message]:
    """Lease up to `limit` unread messages, oldest first. Two workers never get the same one."""
    free = Q(parse_lease_until__isnull=True) | Q(parse_lease_until__lt=now)
    waiting = Message.objects.filter(parse_state=ParseState.PENDING).filter(free)
    if not waiting.exists():  # no write transaction when there is nothing to do
        return []
    with transaction.atomic():
        rows = waiting.order_by("pk")
        if connection.vendor == "postgresql":
            rows = rows.select_for_update(skip_locked=True)
            with connection.cursor() as cursor:
                # Statistics come after a sudden backlog: until then PostgreSQL would sort all of it for each claim,
                # though the index of unread messages has the order.
                cursor.execute("SET LOCAL enable_sort = off")
        ids = list(rows.values_list("pk", flat=True)[:limit])
        Message.objects.filter(pk__in=ids).update(parse_lease_until=now + LEASE, parse_attempts=F("parse_attempts") + 1)
    return list(Message.objects.filter(pk__in=ids).only(*USED).order_by("pk"))


class _Sweep:
    """One run: `waiting` and `alone` are claimed, `running` is in the pool, `done` waits to be stored."""

    def __init__(self, pool: ParsePool, now: datetime, limit: int) -> None:
        self.pool, self.now, self.left = pool, now, limit
        self.waiting: deque[Message] = deque()
        self.alone: deque[Message] = deque()  # failed among others; judged by itself
        self.running: dict[Future[list[Reply | ReadingError]], list[Message]] = {}
        self.done: list[Result] = []
        self.started = self.stored_at = time.monotonic()
        self.finished = 0

    @property
    def in_time(self) -> bool:
        return time.monotonic() - self.started < BUDGET

    def refill(self) -> None:
        if not self.waiting and self.left > 0 and self.in_time:
            self.waiting.extend(claim(now=self.now, limit=min(CLAIM, self.left)))
            self.left -= len(self.waiting)

    def begin(self, executor: ThreadPoolExecutor) -> None:
        """Hand messages to the pool; at most two batches for each process are in memory at a time."""
        while (self.waiting or self.alone) and len(self.running) < 2 * self.pool.size and self.in_time:
            together, raws = self._gather(self.waiting, TOGETHER) if self.waiting else self._gather(self.alone, 1)
            if together:
                self.running[executor.submit(self.pool.run_many, "parse", raws)] = together

    def _gather(self, source: deque[Message], limit: int) -> tuple[list[Message], list[bytes]]:
        """Take messages that one process gets together; one that failed before comes alone."""
        together: list[Message] = []
        raws: list[bytes] = []
        octets = 0
        while source and len(together) < limit:
            if together and (octets + source[0].size > TOGETHER_OCTETS or source[0].parse_attempts > 1):
                break
            message = source.popleft()
            limit = 1 if message.parse_attempts > 1 else limit
            octets += message.size
            try:
                raws.append(content.read(message))
            except content.ContentGone:
                self.done.append(Result(message))
            except content.ContentError as error:
                self.done.append(Result(message, error=type(error).__name__))
            else:
                together.append(message)
        return together, raws

    def collect(self) -> None:
        finished, _ = wait(self.running, timeout=STORE_SECONDS, return_when=FIRST_COMPLETED)
        for future in finished:
            together = self.running.pop(future)
            try:
                answers = future.result()
            except PoolBusyError:
                self.waiting.extend(together)
                continue
            for message, answer in zip(together, answers, strict=True):
                if isinstance(answer, ReadingError) and len(together) > 1:
                    self.alone.append(message)
                elif isinstance(answer, ReadingError):
                    self.done.append(Result(message, error=str(answer) or "error"))
                else:
                    self.done.append(Result(message, answer))

    def store(self, *, all_: bool = False) -> None:
        late = time.monotonic() - self.stored_at >= STORE_SECONDS
        if self.done and (all_ or late or len(self.done) >= STORE):
            batch, self.done = self.done[:STORE], self.done[STORE:]
            self.finished += store(batch, now=self.now)
            self.stored_at = time.monotonic()

    def run(self) -> int:
        with ThreadPoolExecutor(max_workers=self.pool.size, thread_name_prefix="read") as executor:
            while True:
                self.refill()
                self.begin(executor)
                if not self.running and not self.done:
                    break
                if self.running:
                    self.collect()
                self.store(all_=not self.running)
        release([*self.waiting, *self.alone])
        return self.finished


def release(messages: list[Message]) -> None:
    """Give back messages that were claimed but not begun."""
    ids = [message.pk for message in messages]
    if ids:
        Message.objects.filter(pk__in=ids, parse_state=ParseState.PENDING).update(
            parse_lease_until=None, parse_attempts=F("parse_attempts") - 1
        )


def sweep(pool: ParsePool, *, now: datetime, limit: int) -> int:
    """Read up to `limit` messages; ends early when none is left or BUDGET is used up."""
    return _Sweep(pool, now, limit).run()
