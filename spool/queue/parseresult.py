"""What reading messages gave, stored: columns, sealed text, index and one event, all in one transaction.

Sealing and hashing come before the transaction. The attempt number is the fence: a worker whose lease ended stores
nothing. A message that could not be read is tried again later, and after ATTEMPTS failures marked.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, models, transaction

from audit.context import SYSTEM
from audit.record import record
from audit.tags import Tag
from spool.enums import ParseState
from spool.failpoints import failpoint
from spool.ids import encode
from spool.mime import notes, terms
from spool.mime.parsed import MailAddress, ParsedMessage
from spool.models import Message, MessageText
from spool.queue import content, extracted, searchindex
from spool.queue.parsepool import Reply
from spool.queue.settle import batch_detail

log = logging.getLogger(__name__)

ATTEMPTS = 3
BACKOFF = timedelta(seconds=5)  # times the number of attempts


@dataclass(frozen=True)
class Result:
    """One message and what reading it gave: a reply, an error's word, or neither when its content is gone."""

    message: Message
    reply: Reply | None = None
    error: str = ""


def unreadable(message: Message, note: str = notes.UNREADABLE) -> ParsedMessage:
    """What can be shown of a message from its list columns alone."""
    sender = MailAddress(message.from_name, message.from_address)
    known = (sender,) if sender.name or sender.address else ()
    return ParsedMessage(subject=message.subject, from_=known, message_id=message.message_id, notes=(note,))


@dataclass
class _Found:
    """What is to be stored of one result. `index` is None for what gives no terms."""

    columns: dict[str, object]
    text: MessageText | None = None
    index: searchindex.Row | None = None

    @property
    def finished(self) -> bool:
        return "parse_state" in self.columns


def _read(message: Message, reply: Reply, *, now: datetime) -> _Found:
    head = reply.head
    key = content.content_key(message)
    columns: dict[str, object] = {
        "parse_state": ParseState.PARSED,
        "parse_lease_until": None,
        "attachment_count": head["attachments"],
        "snippet": extracted.seal_snippet(key, head["snippet"]),
        "thread": searchindex.thread(head["thread"]),
        "subject": message.subject or head["subject"][:255],
        "from_name": message.from_name if message.from_address else head["from_name"][:255],
        "from_address": message.from_address or head["from_address"][:320],
    }
    text = extracted.seal(message, key, reply.body, note=" ".join(head["notes"]), now=now)
    return _Found(columns, text, searchindex.row(message.pk, head["terms"]))


def _found(result: Result, *, now: datetime) -> _Found:
    """What one result gives; sealing and hashing happen here, before any transaction."""
    message = result.message
    failed: dict[str, object] = {"parse_state": ParseState.FAILED, "parse_lease_until": None}
    try:
        if result.reply is not None:
            return _read(message, result.reply, now=now)
        if result.error and message.parse_attempts < ATTEMPTS:
            return _Found({"parse_lease_until": now + BACKOFF * message.parse_attempts})
        if not result.error:
            return _Found(failed)
        parsed = unreadable(message)
        key = content.content_key(message)
        text = extracted.seal(message, key, parsed.to_json().encode(), note=notes.UNREADABLE, now=now)
        return _Found(failed, text, searchindex.row(message.pk, terms.of_message(parsed)))
    except content.ContentError:  # erased meanwhile
        return _Found(failed)


def store(batch: list[Result], *, now: datetime) -> int:
    """Write results and one event in one transaction. Returns how many messages need no further reading."""
    found = {result.message.pk: _found(result, now=now) for result in batch}
    for result in batch:
        if result.error:
            log.warning("message %s could not be read: %s", encode(result.message.pk), result.error)
    with transaction.atomic():
        ours = Message.objects.select_for_update().filter(pk__in=found, parse_state=ParseState.PENDING)
        rows = {row.pk: row for row in ours.only("pk", "content_hash", "purged_at", "parse_attempts")}
        mine = [r.message.pk for r in batch if _still_ours(rows.get(r.message.pk), r.message)]
        kept = [pk for pk in mine if rows[pk].purged_at is None]
        for pk in set(mine).difference(kept):
            found[pk].columns.pop("snippet", None)
        _update({pk: found[pk].columns for pk in mine})
        extracted.write([text for pk in kept if (text := found[pk].text) is not None])
        searchindex.write([row for pk in kept if (row := found[pk].index) is not None])
        finished = sorted(pk for pk in mine if found[pk].finished)
        _record([rows[pk] for pk in finished])
        failpoint("parsing.before_commit")
    return len(finished)


def _field(name: str) -> "models.Field[Any, Any]":
    field = Message._meta.get_field(name)  # noqa: SLF001 - Django's documented model API
    assert isinstance(field, models.Field)
    return field


def _update(changes: dict[int, dict[str, object]]) -> None:
    """One statement for all messages that get the same columns; values pass through the model's fields."""
    alike: dict[tuple[str, ...], list[list[Any]]] = {}
    for pk, columns in changes.items():
        values = [_field(name).get_db_prep_save(value, connection) for name, value in columns.items()]
        alike.setdefault(tuple(columns), []).append([*values, pk])
    quote = connection.ops.quote_name
    for names, rows in alike.items():
        sets = ", ".join(f"{quote(name)} = %s" for name in names)
        sql = f"UPDATE spool_message SET {sets} WHERE id = %s"  # noqa: S608 - names of the model's own
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def _still_ours(row: Message | None, claimed: Message) -> bool:
    """The attempt number is the fence: whoever claims after us raises it."""
    return row is not None and row.parse_attempts == claimed.parse_attempts


def _record(rows: list[Message]) -> None:
    if not rows:
        return
    detail = batch_detail((row.pk, bytes(row.content_hash)) for row in rows)
    record(Tag.BATCH_ACCEPTED, detail=detail, actor=SYSTEM)
