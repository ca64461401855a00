"""Writing a message: fields in, CRLF octets out (RFC 5322, RFC 2045-2047, RFC 2231). Pure: time and ids are given.

Built from plain strings only. Every field that holds a CR, LF, NUL or other C0 octet is refused, and the header of
the finished message is read back and must be exactly the one that was meant.
"""

import re
from base64 import b64encode
from binascii import b2a_qp
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from hashlib import sha256

from spool.mime import headers
from spool.mime.encoding import ComposeError, address_field, check, id_field, parameter, unstructured
from spool.mime.parsed import MailAddress
from spool.mime.reply import forward_subject, quote, reply_subject

__all__ = [
    "Attachment",
    "ComposeError",
    "Composition",
    "MailAddress",
    "compose",
    "forward_subject",
    "quote",
    "reply_subject",
]

MAX_RECIPIENTS = 1_000
MAX_REFERENCES = 30
MAX_LINE = 998  # octets, RFC 5322 section 2.1.1
_TYPE = re.compile(r"[a-zA-Z0-9!#$&^_.+-]{1,60}/[a-zA-Z0-9!#$&^_.+-]{1,60}")
_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Attachment:
    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Composition:
    """What a person wrote. There is no Bcc: those recipients are in the envelope only."""

    message_id: str  # without angle brackets, like in_reply_to and references
    date: datetime  # aware
    from_: MailAddress
    to: tuple[MailAddress, ...] = ()
    cc: tuple[MailAddress, ...] = ()
    reply_to: tuple[MailAddress, ...] = ()
    subject: str = ""
    text: str = ""
    html: str = ""  # sanitised by the caller; sent as the alternative of `text`
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()


Header = list[tuple[str, str]]


@dataclass(frozen=True)
class Entity:
    """Header fields and an encoded body with CRLF line ends, without the final one."""

    header: Header
    body: bytes

    def octets(self) -> bytes:
        head = "".join(f"{name}: {value}\r\n" for name, value in self.header)
        return head.encode("ascii") + b"\r\n" + self.body


def text_entity(text: str, kind: str = "text/plain") -> Entity:
    """A text part: 7bit when it is plain ASCII with short lines, else the shorter of quoted-printable and base64."""
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise ComposeError("The text holds characters that cannot be sent.")
    raw = _BREAK.sub("\r\n", text).replace("\0", "").encode("utf-8")
    if raw.isascii() and all(len(line) <= MAX_LINE for line in raw.split(b"\r\n")):
        return Entity([("Content-Type", f"{kind}; charset=utf-8"), ("Content-Transfer-Encoding", "7bit")], raw)
    quoted = b2a_qp(raw.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", b"\r\n")
    encoded, name = quoted, "quoted-printable"
    if len(quoted) > len(raw) * 3 // 2:
        encoded, name = _base64(raw), "base64"
    return Entity([("Content-Type", f"{kind}; charset=utf-8"), ("Content-Transfer-Encoding", name)], encoded)


def _base64(data: bytes) -> bytes:
    encoded = b64encode(data)
    return b"\r\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76))


def _attached(one: Attachment) -> Entity:
    check(one.name, "attachment name")
    check(one.content_type, "attachment type")
    kind = one.content_type.lower()
    if not _TYPE.fullmatch(kind) or kind.startswith("multipart/"):
        kind = "application/octet-stream"
    if kind.startswith("message/"):  # RFC 2046 section 5.2.1 forbids base64 for it
        kind = "application/octet-stream"
    name = one.name or "attachment"
    header = [
        ("Content-Type", kind + parameter("name", name)),
        ("Content-Transfer-Encoding", "base64"),
        ("Content-Disposition", "attachment" + parameter("filename", name)),
    ]
    return Entity(header, _base64(one.data))


def multipart(subtype: str, parts: list[Entity], seed: str, extra: str = "") -> Entity:
    """Join entities with a boundary that occurs in none of them; the same input gives the same octets."""
    pieces = [part.octets() for part in parts]
    number = 0
    while True:
        boundary = "=_" + sha256(f"{subtype} {number} {seed}".encode()).hexdigest()[:32]
        if not any(boundary.encode() in piece for piece in pieces):
            break
        number += 1
    mark = b"--" + boundary.encode()
    body = b"".join(mark + b"\r\n" + piece + b"\r\n" for piece in pieces) + mark + b"--\r\n"
    return Entity([("Content-Type", f'multipart/{subtype}; boundary="{boundary}"{extra}')], body)


def _body(mail: Composition) -> Entity:
    entity = text_entity(mail.text)
    if mail.html:
        entity = multipart("alternative", [entity, text_entity(mail.html, "text/html")], mail.message_id)
    if mail.attachments:
        entity = multipart("mixed", [entity, *map(_attached, mail.attachments)], mail.message_id)
    return entity


def _header(mail: Composition) -> Header:
    if len(mail.to) + len(mail.cc) > MAX_RECIPIENTS:
        raise ComposeError("The message has too many recipients.")
    if mail.date.tzinfo is None:
        raise ComposeError("The date has no time zone.")
    header = [
        ("Date", format_datetime(mail.date)),
        ("From", address_field((mail.from_,), "From")),
        ("Message-ID", id_field((mail.message_id,), "Message-ID")),
    ]
    for name, group in (("To", mail.to), ("Cc", mail.cc), ("Reply-To", mail.reply_to)):
        if group:
            header.append((name, address_field(group, name)))
    header.append(("Subject", unstructured(mail.subject, "Subject")))
    if mail.in_reply_to:
        header.append(("In-Reply-To", id_field((mail.in_reply_to,), "In-Reply-To")))
    if mail.references:
        kept = mail.references[:1] + mail.references[1:][-(MAX_REFERENCES - 1) :]
        header.append(("References", id_field(kept, "References")))
    return header


def finish(header: Header, body: Entity) -> bytes:
    """Serialise a message and prove that its header is the intended one. Raises ComposeError."""
    whole = [*header, ("MIME-Version", "1.0"), *body.header]
    raw = Entity(whole, body.body).octets()
    if not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    end, _ = headers.block_end(raw)
    intended = [name.lower() for name, _ in whole]
    block = raw[:end]
    starts = [line.partition(b":")[0].decode("ascii").lower() for line in block.split(b"\r\n") if line[:1].strip()]
    if starts != intended or [name for name, _ in headers.fields(block)] != intended:
        raise ComposeError("The message could not be written safely.")
    if (
        b"\0" in raw
        or re.search(rb"\r(?!\n)|(?<!\r)\n", raw)
        or any(len(line) > MAX_LINE for line in raw.split(b"\r\n"))
    ):
        raise ComposeError("The message could not be written safely.")
    return raw


def compose(mail: Composition) -> bytes:
    """The message as octets with CRLF line ends, the last included. Raises ComposeError with a sentence."""
    return finish(_header(mail), _body(mail))
