"""What reading messages gave, stored: columns, sealed text, index and one event, all in one transaction.

Sealing and hashing come before the transaction. The attempt number is the fence: a worker whose lease ended stores
nothing. A message that could not be read is tried again later, and after ATTEMPTS failures marked.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction

from audit.context import SYSTEM
from audit.record import record
from audit.tags import Tag
from spool.enums import ParseState
from spool.failpoints import failpoint
from spool.ids import encode
from spool.mime import notes, terms
from spool.mime.parsed import MailAddress, ParsedMessage
from spool.models import Message
from spool.queue import content, extracted, searchindex
from spool.queue.parsepool import Reply
from spool.queue.rows import Row
from spool.queue.settle import batch_detail

log = logging.getLogger(__name__)

ATTEMPTS = 3
BACKOFF = timedelta(seconds=5)  # times the number of attempts

Columns = dict[str, object]


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


class _Stored(NamedTuple):
    """The row as it is when results are stored."""

    pk: int
    content_hash: bytes
    purged_at: datetime | None
    parse_attempts: int


@dataclass
class _Found:
    """What is to be stored of one result. `index` is None for what gives no terms."""

    columns: Columns
    text: Row | None = None
    index: searchindex.Row | None = None

    @property
    def finished(self) -> bool:
        return "parse_state" in self.columns


def _read(message: Message, reply: Reply, *, now: datetime) -> _Found:
    head = reply.head
    key = content.content_key(message)
    columns: Columns = {
        "parse_state": ParseState.PARSED.value,
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
    failed: Columns = {"parse_state": ParseState.FAILED.value, "parse_lease_until": None}
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
        rows = {row[0]: _Stored(*row) for row in ours.values_list(*_Stored._fields)}
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


def _update(changes: Mapping[int, Columns]) -> None:
    """One statement for all messages that get the same columns."""
    alike: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for pk, columns in changes.items():
        alike.setdefault(tuple(columns), []).append((*columns.values(), pk))
    for names, rows in alike.items():
        fields = [Message._meta.get_field(name) for name in (*names, "id")]  # noqa: SLF001 - documented model API
        values = [_prepared(field, column) for field, column in zip(fields, zip(*rows, strict=True), strict=True)]
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                sets = ", ".join(f"{name} = %s" for name in names)
                sql = f"UPDATE spool_message SET {sets} WHERE id = %s"  # noqa: S608 - names of the model's own
                cursor.executemany(sql, list(zip(*values, strict=True)))
            else:  # there each statement is read and planned anew, so one for all
                sets = ", ".join(f"{name} = new.{name}" for name in names)
                arrays = ", ".join(f"%s::{str(field.db_type(connection)).partition('(')[0]}[]" for field in fields)
                sql = (
                    f"UPDATE spool_message SET {sets} "  # noqa: S608 - names of the model's own
                    f"FROM unnest({arrays}) AS new ({', '.join((*names, 'id'))}) WHERE spool_message.id = new.id"
                )
                cursor.execute(sql, values)


def _prepared(field: Any, values: Sequence[Any]) -> list[Any]:
    """The values of one column in the driver's terms; only times differ from Python's."""
    if field.get_internal_type() == "DateTimeField":
        return [field.get_db_prep_save(value, connection) for value in values]
    return list(values)


def _still_ours(row: _Stored | None, claimed: Message) -> bool:
    """The attempt number is the fence: whoever claims after us raises it."""
    return row is not None and row.parse_attempts == claimed.parse_attempts


def _record(rows: list[_Stored]) -> None:
    if not rows:
        return
    detail = batch_detail((row.pk, bytes(row.content_hash)) for row in rows)
    record(Tag.BATCH_ACCEPTED, detail=detail, actor=SYSTEM)
