"""Delivery status notifications to our own users (RFC 3461, RFC 3462, RFC 3464). Pure: time and ids are given.

Only for mail our users wrote; mail from outside never causes one (rule 7). The envelope sender of a notification is
the null reverse-path: NULL_SENDER.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import Enum

from spool.mime import headers
from spool.mime.compose import Entity, finish, multipart, text_entity
from spool.mime.encoding import ComposeError, address_field, id_field, unstructured
from spool.mime.parsed import MailAddress

NULL_SENDER = ""
MAX_TEXT = 1_000  # characters of a diagnostic
MAX_ORIGINAL = 16 * 1024  # octets of the original's header that are returned
_PRINTABLE = re.compile(r"[^\x20-\x7e]+")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


class Action(Enum):
    """RFC 3464 section 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"  # still tried; the notice says until when
    EXPIRED = "expired"  # reported as failed, status 4.4.7


@dataclass(frozen=True)
class RecipientStatus:
    """One recipient and what became of the mail to it."""

    address: str
    action: Action = Action.FAILED
    status: str = "5.0.0"  # RFC 3463
    diagnostic: str = ""  # the server's own words, with its code
    remote_host: str = ""
    retry_until: datetime | None = None  # aware; of a delayed one (RFC 3464 section 2.3.9)


@dataclass(frozen=True)
class Notice:
    """What a notification says. `sentence` is shown to the person; `original` is the raw mail it is about."""

    message_id: str  # of the notification, without angle brackets
    at: datetime  # aware
    reporting_host: str
    to: MailAddress
    subject: str
    sentence: str
    recipients: tuple[RecipientStatus, ...]
    original: bytes = b""
    arrived: datetime | None = None


def _ascii(text: str) -> str:
    return _PRINTABLE.sub(" ", text).strip()[:MAX_TEXT]


def _folded(name: str, value: str) -> str:
    """A status field; long diagnostics are folded so that no line is too long."""
    pieces = [value[start : start + 200] for start in range(0, len(value), 200)] or [""]
    return f"{name}: " + "\r\n ".join(pieces) + "\r\n"


def _recipient(one: RecipientStatus) -> str:
    action = Action.FAILED if one.action is Action.EXPIRED else one.action
    status = one.status if _STATUS.fullmatch(one.status) else "5.0.0"
    text = _folded("Final-Recipient", f"rfc822; {_ascii(one.address)}")
    text += _folded("Action", action.value) + _folded("Status", status)
    if one.remote_host:
        text += _folded("Remote-MTA", f"dns; {_ascii(one.remote_host)}")
    if one.diagnostic:
        text += _folded("Diagnostic-Code", f"smtp; {_ascii(one.diagnostic)}")
    if one.retry_until is not None and action is Action.DELAYED:
        text += _folded("Will-Retry-Until", format_datetime(one.retry_until))
    return text


def _status_part(notice: Notice) -> Entity:
    text = _folded("Reporting-MTA", f"dns; {_ascii(notice.reporting_host)}")
    if notice.arrived is not None:
        text += _folded("Arrival-Date", format_datetime(notice.arrived))
    text += "".join("\r\n" + _recipient(one) for one in notice.recipients)
    return Entity([("Content-Type", "message/delivery-status")], text.encode("ascii"))


def _original_part(original: bytes) -> Entity:
    """The original's header only; octets above 127 become question marks so that the notice stays 7bit."""
    end, _ = headers.block_end(original[: MAX_ORIGINAL * 4])
    lines = original[:end].replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\0", b"").split(b"\n")
    kept, size = [], 0
    for line in lines:
        size += len(line) + 2
        if size > MAX_ORIGINAL:
            break
        kept.append(bytes(octet if octet < 0x80 else 0x3F for octet in line[:900]))
    return Entity([("Content-Type", "text/rfc822-headers")], b"\r\n".join(kept))


def _human(recipients: Sequence[RecipientStatus]) -> str:
    rows = []
    for one in recipients:
        row = f"  {one.address}"
        if one.diagnostic:
            row += f"\n    {one.diagnostic[:MAX_TEXT]}"
        rows.append(row)
    return "\n".join(rows)


def notification(notice: Notice) -> bytes:
    """The notification as CRLF octets. Raises ComposeError."""
    if not notice.recipients:
        raise ComposeError("A notification needs a recipient to report.")
    report = multipart(
        "report",
        [
            text_entity(f"{notice.sentence}\n\n{_human(notice.recipients)}\n"),
            _status_part(notice),
            _original_part(notice.original),
        ],
        notice.message_id,
        extra="; report-type=delivery-status",
    )
    sender = MailAddress("Mail Delivery System", f"MAILER-DAEMON@{notice.reporting_host}")
    header = [
        ("Date", format_datetime(notice.at)),
        ("From", address_field((sender,), "From")),
        ("To", address_field((notice.to,), "To")),
        ("Subject", unstructured(notice.subject, "Subject")),
        ("Message-ID", id_field((notice.message_id,), "Message-ID")),
        ("Auto-Submitted", "auto-replied"),  # RFC 3834 section 5
    ]
    original_id = headers.scan(notice.original).message_id
    if original_id and re.fullmatch(r"[\x21-\x3b\x3d\x3f-\x7e]{1,900}", original_id):
        header.append(("References", id_field((original_id,), "References")))
    return finish(header, report)
