"""What reading a message yields: plain frozen data that survives JSON. Pure."""

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

from spool.mime.addresses import MailAddress
from spool.mime.words import clean

__all__ = ["MailAddress", "ParsedMessage", "Part"]

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Part:
    """An attachment or inline image; texts shown as the body are not listed."""

    index: int  # for part_content; stable for the same octets
    name: str  # safe file name, never empty
    declared_type: str  # "image/png"
    true_type: str  # by its first octets; "application/octet-stream" when nothing matches
    size: int  # octets, decoded
    content_id: str = ""  # without angle brackets
    inline: bool = False  # an image the HTML body shows


@dataclass(frozen=True)
class ParsedMessage:
    """A message made readable. Every text is cleaned for one-line display except `text` and `html`.

    `html` is NOT sanitised. `date` is aware. `notes` are sentences of spool.mime.notes.
    """

    subject: str = ""
    from_: tuple[MailAddress, ...] = ()
    reply_to: tuple[MailAddress, ...] = ()
    to: tuple[MailAddress, ...] = ()
    cc: tuple[MailAddress, ...] = ()
    date: datetime | None = None
    message_id: str = ""  # without angle brackets, like the next two
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    text: str = ""  # LF line ends; made from the HTML when there is no plain text
    html: str = ""  # empty when the message has no HTML
    text_of_html: bool = False  # `text` and `html` come from the same parts: they say the same
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def attachments(self) -> tuple[Part, ...]:
        """The parts a reader thinks of as attachments."""
        return tuple(part for part in self.parts if not part.inline)

    def snippet(self, length: int = 140) -> str:
        """The first words of the text in one line, quoted lines left out."""
        found: list[str] = []
        room = length
        for line in self.text[: length * 40].split("\n"):
            words = "" if line.startswith(">") else " ".join(line.split())
            if words:
                found.append(words)
                room -= len(words) + 1
            if room < 0:
                break
        return clean(" ".join(found))[:length].strip()

    @property
    def thread_root(self) -> str:
        """The Message-ID its thread began with, as far as its own header fields tell (RFC 5322 3.6.4)."""
        return self.references[0] if self.references else self.in_reply_to or self.message_id

    def to_json(self) -> str:
        data = vars(self) | {
            name: [vars(one) for one in getattr(self, name)] for name in ("from_", "reply_to", "to", "cc")
        }
        data["parts"] = [vars(part) for part in self.parts]
        data["date"] = self.date.isoformat() if self.date else None
        return _JSON.encode(data)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The reverse of to_json; unknown keys are ignored. Raises ValueError for anything else."""
        known = {field.name for field in fields(cls)}
        data: dict[str, Any] = {key: value for key, value in json.loads(text).items() if key in known}
        for name in ("from_", "reply_to", "to", "cc"):
            data[name] = tuple(MailAddress(**item) for item in data.get(name, ()))
        data["parts"] = tuple(Part(**item) for item in data.get("parts", ()))
        data["date"] = datetime.fromisoformat(data["date"]) if data.get("date") else None
        for name in ("references", "notes"):
            data[name] = tuple(data.get(name, ()))
        return cls(**data)
