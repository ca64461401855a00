"""What was read out of messages, at rest: sealed under each message's own content key. Storage only."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from accounts.crypto import ContentKey, DecryptionError, decrypt_content, encrypt_content
from spool.mime.parsed import ParsedMessage
from spool.models import Message, MessageText
from spool.queue import content
from spool.queue.rows import Row, Table

LABEL = "text"
SNIPPET = "snippet"
TEXTS = Table(MessageText, "message_id", "parsed", "note", "parsed_at")  # the columns of a Row here


def seal(message: Message, key: ContentKey, parsed: bytes, *, note: str, now: datetime) -> Row:
    """An unsaved row for the JSON of a ParsedMessage; `key` is content.content_key(message)."""
    return message.pk, encrypt_content(key, parsed, LABEL), note[:255], now


def seal_snippet(key: ContentKey, text: str) -> bytes:
    """The column `snippet`."""
    return encrypt_content(key, text.encode("utf-8", "replace"), SNIPPET)


def snippet(message: Message) -> str:
    """The first words of a message, "" when it was not read yet or is gone."""
    if message.snippet is None:
        return ""
    try:
        return decrypt_content(content.content_key(message), bytes(message.snippet), SNIPPET).decode("utf-8", "replace")
    except (content.ContentError, DecryptionError):
        return ""


def load(message: Message) -> ParsedMessage | None:
    """What was stored for `message`, or None. Raises content.ContentGone."""
    row = MessageText.objects.filter(message=message).first()
    if row is None:
        return None
    try:
        return ParsedMessage.from_json(decrypt_content(content.content_key(message), bytes(row.parsed), LABEL))
    except (DecryptionError, ValueError, TypeError):
        return None


def save(row: Row) -> None:
    """Store one row unless its message was erased meanwhile."""
    with transaction.atomic():
        kept = Message.objects.select_for_update().filter(pk=row[0], purged_at__isnull=True)
        if kept.values_list("pk", flat=True).first() is not None:
            write([row])


def write(rows: Sequence[Row]) -> None:
    """Store rows, replacing older ones, in the caller's transaction, which locks their messages: none is erased."""
    MessageText.objects.filter(pk__in=[row[0] for row in rows]).delete()
    TEXTS.insert(rows)
