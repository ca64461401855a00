"""What was read out of messages, at rest: sealed under each message's own content key. Storage only."""

from datetime import datetime

from django.db import transaction

from accounts.crypto import ContentKey, DecryptionError, decrypt_content, encrypt_content
from spool.mime.parsed import ParsedMessage
from spool.models import Message, MessageText
from spool.queue import content

LABEL = "text"
SNIPPET = "snippet"


def seal(message: Message, key: ContentKey, parsed: bytes, *, note: str, now: datetime) -> MessageText:
    """An unsaved row for the JSON of a ParsedMessage; `key` is content.content_key(message)."""
    sealed = encrypt_content(key, parsed, LABEL)
    return MessageText(message=message, parsed=sealed, note=note[:255], parsed_at=now)


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


def save(row: MessageText) -> None:
    """Store one row unless its message was erased meanwhile."""
    with transaction.atomic():
        kept = Message.objects.select_for_update().filter(pk=row.message_id, purged_at__isnull=True)
        if kept.values_list("pk", flat=True).first() is not None:
            write([row])


def write(rows: list[MessageText]) -> None:
    """Store rows, replacing older ones; the caller knows that their messages are not erased."""
    MessageText.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["message"], update_fields=["parsed", "note", "parsed_at"]
    )
