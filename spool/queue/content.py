"""A message's octets at rest: sealed under its own key, in one of three homes (row, file, chunks).

`prepare` does the slow work (encryption, file) outside any transaction; ingest then writes the rows. Knows
nothing of envelopes or recipients.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pickle import PickleBuffer
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from accounts.crypto import (
    ContentKey,
    DecryptionError,
    content_hash,
    decrypt_content,
    encrypt_content,
    encrypt_in_pieces,
    new_content_key,
    unwrap_content_key,
)
from spool.models import ContentChunk, Message, MessageText
from spool.queue import files, searchindex

log = logging.getLogger(__name__)

CHUNK = 256 * 2**10  # octets of ciphertext per row
COPIED = 16 * 2**10  # octets that a pickler copies faster than it leaves them out
LABEL = "raw"
ORPHAN_AGE = 3600.0  # seconds: a file without a row may belong to a transaction that is still open
ERASE_BATCH = 500


class ContentError(Exception):
    """The content cannot be had."""


class ContentGone(ContentError):  # noqa: N818 - a fact, not a fault
    """It was erased on purpose: delivered and past its safety time."""


class ContentDamaged(ContentError):  # noqa: N818 - named for what the reader must be told
    """It should be there, but is missing, altered, or its key is not configured."""


class Prepared(NamedTuple):
    """Sealed content in its home; exactly one of `inline`, `file` and `chunks` is filled."""

    message_id: int
    size: int
    digest: bytes  # accounts.crypto.content_hash
    wrapped_key: bytes
    inline: bytes | None = None
    file: str = ""
    chunks: tuple[bytes, ...] = ()

    def __reduce__(self) -> tuple[type["Prepared"], tuple[object, ...]]:
        """What is pickled: many octets as buffers, so that a pickler may leave them out (PEP 574)."""
        inline = PickleBuffer(self.inline) if self.inline and len(self.inline) > COPIED else self.inline
        return Prepared, (*self[:4], inline, self.file, tuple(map(PickleBuffer, self.chunks)))


def prepare(raw: bytes, message_id: int, *, digest: bytes | None = None) -> Prepared:
    """Encrypt `raw` and bring large content to the storage, or into chunks if the storage fails (rule 4)."""
    key = new_content_key(message_id)
    digest = digest or content_hash(raw)
    if len(raw) <= settings.INLINE_CONTENT_LIMIT:
        return Prepared(message_id, len(raw), digest, key.wrapped, inline=encrypt_content(key, raw, LABEL))
    name = files.new_name(message_id)
    try:
        files.write(name, encrypt_in_pieces(key, raw, LABEL))
    except files.StorageError as error:
        log.warning("content goes into the database: %s", error)
        return Prepared(message_id, len(raw), digest, key.wrapped, chunks=_split(encrypt_content(key, raw, LABEL)))
    return Prepared(message_id, len(raw), digest, key.wrapped, file=name)


def discard(prepared: Prepared) -> None:
    """Drop content that no row will own; what cannot be removed now is an orphan for later."""
    if prepared.file:
        with suppress(OSError):
            files.remove(prepared.file)


def _split(sealed: bytes) -> tuple[bytes, ...]:
    return tuple(sealed[start : start + CHUNK] for start in range(0, len(sealed), CHUNK))


def content_key(message: Message) -> ContentKey:
    """The key of everything sealed for this message. Raises ContentGone, ContentDamaged."""
    if message.purged_at is not None or message.content_key is None:
        raise ContentGone("the content was erased")
    try:
        return unwrap_content_key(bytes(message.content_key), message.pk)
    except DecryptionError as error:
        raise ContentDamaged(str(error)) from error


def read(message: Message) -> bytes:
    """The octets as accepted. Raises ContentGone, ContentDamaged."""
    key = content_key(message)
    try:
        return decrypt_content(key, _sealed(message), LABEL)
    except DecryptionError as error:
        raise ContentDamaged(str(error)) from error


def _sealed(message: Message) -> bytes:
    for _attempt in range(2):  # content moves between homes: look again once before calling it missing
        if message.content is not None:
            return bytes(message.content)
        if message.content_file:
            with suppress(FileNotFoundError):
                return _read_file(message.content_file)
        chunks = [bytes(data) for data in message.chunks.order_by("position").values_list("data", flat=True)]
        if chunks:
            return b"".join(chunks)
        message.refresh_from_db(fields=["content", "content_file", "content_key", "purged_at"])
        content_key(message)
    raise ContentDamaged("no home holds the content")


def _read_file(name: str) -> bytes:
    try:
        return files.read(name)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ContentDamaged(f"the storage failed: {type(error).__name__}") from error


def erase(messages: Iterable[Message], *, now: datetime) -> int:
    """Erase content, extracted text, index and keys of `messages`; files go after the commit. Returns how many."""
    ids = [message.pk for message in messages]
    erased = 0
    for start in range(0, len(ids), ERASE_BATCH):
        part = ids[start : start + ERASE_BATCH]
        with transaction.atomic():
            kept = Message.objects.select_for_update().filter(pk__in=part, purged_at__isnull=True)
            found = dict(kept.values_list("pk", "content_file"))
            ContentChunk.objects.filter(message__in=found).delete()
            MessageText.objects.filter(message__in=found).delete()
            searchindex.erase(found)
            erased += Message.objects.filter(pk__in=found).update(
                content=None, content_file="", content_key=None, snippet=None, purged_at=now
            )
            names = [name for name in found.values() if name]
            transaction.on_commit(lambda names=names: _remove_all(names))  # type: ignore[misc]
    return erased


def _remove_all(names: Iterable[str]) -> None:
    for name in names:
        try:
            files.remove(name)
        except OSError as error:  # the key is erased already; the orphan collection tries again
            log.warning("a content file could not be removed: %s", type(error).__name__)


def move_chunks(*, limit: int = 50) -> int:
    """Move content that waits in the database to the storage. Returns how many messages moved."""
    waiting = Message.objects.filter(chunks__isnull=False, purged_at__isnull=True).distinct()
    moved = 0
    for message_id in list(waiting.order_by("pk").values_list("pk", flat=True)[:limit]):
        sealed = b"".join(
            bytes(data)
            for data in ContentChunk.objects.filter(message=message_id)
            .order_by("position")
            .values_list("data", flat=True)
        )
        name = files.new_name(message_id)
        try:
            files.write(name, [sealed])
        except files.StorageError:
            return moved
        with transaction.atomic():
            mine = Message.objects.filter(pk=message_id, purged_at__isnull=True, content_file="")
            if mine.update(content_file=name):
                ContentChunk.objects.filter(message=message_id).delete()
                moved += 1
            else:
                transaction.on_commit(lambda name=name: _remove_all([name]))  # type: ignore[misc]
    return moved


def collect_orphans(*, older_than: float = ORPHAN_AGE, batch: int = 500) -> int:
    """Remove files that no row owns (crash between file and row, failed removal). Returns how many."""
    removed = 0
    names = list(files.older_than(older_than))
    for start in range(0, len(names), batch):
        part = names[start : start + batch]
        owned = set(Message.objects.filter(content_file__in=part).values_list("content_file", flat=True))
        orphans = [name for name in part if name not in owned]
        _remove_all(orphans)
        removed += len(orphans)
    return removed
