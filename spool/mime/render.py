"""The page of one message's body: HTML sanitised, or plain text marked up. Pure; runs in the reading processes."""

from dataclasses import dataclass

from spool.mime import parse as reader
from spool.mime import plain
from spool.mime.sanitize import data_uri, document, sanitize


@dataclass(frozen=True)
class Page:
    """A whole HTML document for the sandboxed response."""

    document: str
    blocked_images: int = 0
    is_html: bool = False


def page(raw: bytes, *, as_text: bool = False, dark: bool | None = False, quote_label: str = "Quoted text") -> Page:
    """The body of `raw`; `as_text` shows the plain text although there is HTML; `dark` (None: as the system)
    applies to text only."""
    message = reader.parse(raw)
    if message.html and not as_text:
        images = {cid: data_uri(kind, data) for cid, (kind, data) in reader.inline_images(raw, message).items()}
        clean = sanitize(message.html, images)
        return Page(document(clean, title=message.subject), clean.blocked_images, is_html=True)
    return Page(document(plain.to_html(message.text, quote_label=quote_label), dark=dark, title=message.subject))
