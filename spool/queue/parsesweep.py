"""Ingestion: claims accepted messages that nobody has read, reads them in the pool, stores what was found.

A claim is a lease in the row, taken by a conditional update; the lease also says when a failed message is tried
again. No transaction is open while a message is read. Results are stored as they come, so a message that hangs
delays no other; after ATTEMPTS failures it is marked, and stays listed, downloadable and deliverable.
"""

import logging
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from django.db import connection, transaction
from django.db.models import F, Q

from audit.context import SYSTEM
from audit.record import record
from audit.tags import Tag
from spool.enums import ParseState
from spool.failpoints import failpoint
from spool.ids import encode
from spool.mime import notes
from spool.mime.parsed import MailAddress, ParsedMessage
from spool.models import Message, MessageText
from spool.queue import content, extracted
from spool.queue.parsepool import ParsePool, PoolBusyError, ReadingError, Reply

log = logging.getLogger(__name__)

ATTEMPTS = 3
LEASE = timedelta(minutes=5)
BACKOFF = timedelta(seconds=5)  # times the number of attempts
CLAIM = 100  # messages a claim takes
STORE = 50  # results a transaction stores at most, and every STORE_SECONDS what there is
STORE_SECONDS = 0.5
BUDGET = 60.0  # seconds after which no further message is begun


@dataclass(frozen=True)
class Result:
    """One message and what reading it gave: a reply, an error's word, or neither when its content is gone."""

    message: Message
    reply: Reply | None = None
    error: str = ""


def claim(*, now: datetime, limit: int) -> list[Message]:
    """Lease up to `limit` unread messages, oldest first. Two workers never get the same one."""
    free = Q(parse_lease_until__isnull=True) | Q(parse_lease_until__lt=now)
    waiting = Message.objects.filter(parse_state=ParseState.PENDING).filter(free)
    if not waiting.exists():  # no write transaction when there is nothing to do
        return []
    with transaction.atomic():
        rows = waiting.order_by("pk")
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)
        ids = list(rows.values_list("pk", flat=True)[:limit])
        Message.objects.filter(pk__in=ids).update(parse_lease_until=now + LEASE, parse_attempts=F("parse_attempts") + 1)
    return list(Message.objects.filter(pk__in=ids).order_by("pk"))


class _Sweep:
    """One run: `waiting` is claimed, `running` is in the pool, `done` waits to be stored."""

    def __init__(self, pool: ParsePool, now: datetime, limit: int) -> None:
        self.pool, self.now, self.left = pool, now, limit
        self.waiting: deque[Message] = deque()
        self.running: dict[Future[Reply], Message] = {}
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
        """Hand messages to the pool; at most two for each process are in memory at a time."""
        while self.waiting and len(self.running) < 2 * self.pool.size and self.in_time:
            message = self.waiting.popleft()
            try:
                raw = content.read(message)
            except content.ContentGone:
                self.done.append(Result(message))
            except content.ContentError as error:
                self.done.append(Result(message, error=type(error).__name__))
            else:
                self.running[executor.submit(self.pool.run, "parse", raw)] = message

    def collect(self) -> None:
        finished, _ = wait(self.running, timeout=STORE_SECONDS, return_when=FIRST_COMPLETED)
        for future in finished:
            message = self.running.pop(future)
            try:
                self.done.append(Result(message, future.result()))
            except PoolBusyError:
                self.waiting.append(message)
            except ReadingError as error:
                self.done.append(Result(message, error=str(error) or "error"))

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
        release(self.waiting)
        return self.finished


def release(messages: deque[Message]) -> None:
    """Give back messages that were claimed but not begun."""
    ids = [message.pk for message in messages]
    if ids:
        Message.objects.filter(pk__in=ids, parse_state=ParseState.PENDING).update(
            parse_lease_until=None, parse_attempts=F("parse_attempts") - 1
        )


def unreadable(message: Message, note: str = notes.UNREADABLE) -> ParsedMessage:
    """What can be shown of a message from its list columns alone."""
    sender = MailAddress(message.from_name, message.from_address)
    known = (sender,) if sender.name or sender.address else ()
    return ParsedMessage(subject=message.subject, from_=known, message_id=message.message_id, notes=(note,))


def _columns(result: Result, *, now: datetime) -> tuple[dict[str, object], MessageText | None]:
    """(columns to set, text to store) for one result; sealing happens here, before any transaction."""
    message = result.message
    try:
        if result.reply is not None:
            head = result.reply.head
            text = extracted.seal(message, result.reply.body, note=" ".join(head["notes"]), now=now)
            columns: dict[str, object] = {
                "parse_state": ParseState.PARSED,
                "parse_lease_until": None,
                "attachment_count": head["attachments"],
                "snippet": extracted.seal_snippet(message, head["snippet"]),
            }
            if not message.subject:
                columns["subject"] = head["subject"][:255]
            if not message.from_address:
                columns |= {"from_name": head["from_name"][:255], "from_address": head["from_address"][:320]}
            return columns, text
        if result.error and message.parse_attempts < ATTEMPTS:
            return {"parse_lease_until": now + BACKOFF * message.parse_attempts}, None
        failed: dict[str, object] = {"parse_state": ParseState.FAILED, "parse_lease_until": None}
        if not result.error:
            return failed, None
        parsed = unreadable(message).to_json().encode()
        return failed, extracted.seal(message, parsed, note=notes.UNREADABLE, now=now)
    except content.ContentError:  # erased meanwhile
        return {"parse_state": ParseState.FAILED, "parse_lease_until": None}, None


def store(batch: list[Result], *, now: datetime) -> int:
    """Write results and one event in one transaction. Returns how many messages need no further reading."""
    columns = {result.message.pk: _columns(result, now=now) for result in batch}
    for result in batch:
        if result.error:
            log.warning("message %s could not be read: %s", encode(result.message.pk), result.error)
    with transaction.atomic():
        ours = Message.objects.select_for_update().filter(pk__in=columns, parse_state=ParseState.PENDING)
        rows = {row.pk: row for row in ours.only("pk", "content_hash", "purged_at", "parse_attempts")}
        mine = [r.message.pk for r in batch if _still_ours(rows.get(r.message.pk), r.message)]
        for pk in mine:
            kept = dict(columns[pk][0])
            if rows[pk].purged_at is not None:
                kept.pop("snippet", None)
            Message.objects.filter(pk=pk).update(**kept)
        texts = [columns[pk][1] for pk in mine if rows[pk].purged_at is None]
        MessageText.objects.bulk_create(
            [text for text in texts if text is not None],
            update_conflicts=True,
            unique_fields=["message"],
            update_fields=["parsed", "note", "parsed_at"],
        )
        finished = sorted(pk for pk in mine if "parse_state" in columns[pk][0])
        _record([rows[pk] for pk in finished])
        failpoint("parsing.before_commit")
    return len(finished)


def _still_ours(row: Message | None, claimed: Message) -> bool:
    """The attempt number is the fence: whoever claims after us raises it."""
    return row is not None and row.parse_attempts == claimed.parse_attempts


def _record(rows: list[Message]) -> None:
    if not rows:
        return
    root = sha256()
    for row in rows:
        root.update(row.pk.to_bytes(8, "big") + bytes(row.content_hash))
    detail = {
        "count": len(rows),
        "first": encode(rows[0].pk),
        "last": encode(rows[-1].pk),
        "root": root.hexdigest(),
    }
    record(Tag.BATCH_ACCEPTED, detail=detail, actor=SYSTEM)


def sweep(pool: ParsePool, *, now: datetime, limit: int) -> int:
    """Read up to `limit` messages; ends early when none is left or BUDGET is used up."""
    return _Sweep(pool, now, limit).run()
