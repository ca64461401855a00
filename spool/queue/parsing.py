"""Messages made readable for pages and workers. All reading of mail happens in the pool's processes, never here.

Nothing raises on bad mail: what cannot be read is shown from its list columns with a note. content.ContentGone and
content.ContentDamaged pass through, for there is nothing to show then.
"""

import atexit
import logging
import os
import threading
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from spool.mime.parse import PartMissingError
from spool.mime.parsed import ParsedMessage, Part
from spool.mime.sanitize import document
from spool.models import Message
from spool.queue import content, extracted, parseresult, parsesweep
from spool.queue.parsepool import MEMORY, ParsePool, ReadingError

__all__ = ["Body", "PartMissingError", "body", "body_html", "load", "load_part", "pool", "snippet", "stop", "sweep"]

log = logging.getLogger(__name__)
QUOTED = gettext_noop("Quoted text")

snippet = extracted.snippet
_lock = threading.Lock()
_pool: ParsePool | None = None


@dataclass(frozen=True)
class Body:
    """The page of a body for the sandboxed response, and how many remote images it leaves out."""

    document: str
    blocked_images: int = 0
    is_html: bool = False


def pool() -> ParsePool:
    """This process's pool; a forked process gets its own."""
    global _pool  # noqa: PLW0603 - one pool a process is the point
    with _lock:
        if _pool is None or _pool.pid != os.getpid() or _pool.closed:
            _pool = ParsePool(settings.PARSE_CHILDREN, memory=max(MEMORY, 6 * settings.MESSAGE_SIZE_LIMIT))
        return _pool


@atexit.register
def stop() -> None:
    """Stop this process's pool; the next use starts another."""
    with _lock:
        if _pool is not None and _pool.pid == os.getpid():
            _pool.stop()


def load(message: Message) -> ParsedMessage:
    """The message as stored by ingestion, or read now and stored. Raises content.ContentError."""
    stored = extracted.load(message)
    if stored is not None:
        return stored
    raw = content.read(message)
    try:
        reply = pool().run("parse", raw)
        parsed = ParsedMessage.from_json(reply.body)
    except (ReadingError, ValueError) as error:
        log.warning("message %s could not be read: %s", message.public_id, error)
        return parseresult.unreadable(message)
    note = " ".join(parsed.notes)
    sealed = extracted.seal(message, content.content_key(message), reply.body, note=note, now=timezone.now())
    extracted.save(sealed)
    return parsed


def load_part(message: Message, index: int) -> tuple[Part, bytes]:
    """One attachment. Raises PartMissingError (also when the message cannot be read), content.ContentError."""
    try:
        reply = pool().run("part", content.read(message), index=index)
    except ReadingError as error:
        raise PartMissingError(index) from error
    if "part" not in reply.head:
        raise PartMissingError(index)
    return Part(**reply.head["part"]), reply.body


def body(message: Message, *, as_text: bool = False, dark: bool | None = False) -> Body:
    """The page of the body; a sentence instead when it cannot be read. Raises content.ContentError."""
    raw = content.read(message)
    for text_only in sorted({as_text, True}):  # HTML that cannot be cleaned in time may have a text beside it
        try:
            reply = pool().run("page", raw, as_text=text_only, dark=dark, quote_label=gettext(QUOTED))
        except ReadingError as error:
            log.warning("the body of %s could not be shown: %s", message.public_id, error)
        else:
            return Body(reply.body.decode(), int(reply.head["blocked_images"]), bool(reply.head["is_html"]))
    return Body(_sentence(message))


def _sentence(message: Message) -> str:
    note = parseresult.unreadable(message).notes[0]
    return document(f"<p>{gettext(note)}</p>")


def body_html(message: Message, *, as_text: bool = False, dark: bool | None = False) -> str:
    """The document of `body`."""
    return body(message, as_text=as_text, dark=dark).document


def sweep(*, now: datetime, limit: int = 1_000) -> int:
    """Read accepted messages that nobody has read yet. Returns how many need no further reading."""
    return parsesweep.sweep(pool(), now=now, limit=limit)
