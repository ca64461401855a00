"""The keys on paper: a sheet to print and lock away, its fingerprint, and whether somebody confirmed to have it.

Without the field keys no backup can be read; einbox cannot send them anywhere by itself.
"""

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.conf import settings
from django.db import transaction

from audit.models import Event
from audit.record import Target, record
from audit.tags import Tag

GROUP = 4  # characters of a fingerprint group


class FingerprintError(Exception):
    """The fingerprint typed in is not that of the keys in use."""


@dataclass(frozen=True)
class Confirmation:
    """When and by whom a copy of exactly these keys was confirmed."""

    at: datetime
    by: str


def fingerprint() -> str:
    """80 bits over all field keys in use, in five groups; changes with every rotation, gives nothing away."""
    state = sha256(b"einbox recovery sheet")
    for key_id, key in sorted(settings.FIELD_KEYS.items()):
        state.update(key_id.encode() + key)
    text = base64.b32encode(state.digest()[:10]).decode()
    return "-".join(text[start : start + GROUP] for start in range(0, len(text), GROUP))


def sheet(*, now: datetime) -> str:
    """The text to print. Holds the keys in clear."""
    lines = [
        "einbox recovery sheet",
        f"installation  {settings.PUBLIC_URL}",
        f"printed       {now.isoformat(timespec='minutes')}",
        f"fingerprint   {fingerprint()}",
        "",
        "Whoever holds this sheet and a backup can read all mail in it. Whoever holds only a backup can read none.",
        "Print it, lock it away outside the building, and confirm it: manage.py keys confirm",
        "",
        "Field keys, newest first (EINBOX_FIELD_KEYS, or the file keys/field_keys):",
    ]
    for key_id, key in settings.FIELD_KEYS.items():
        lines.append(f"  {key_id}:{base64.urlsafe_b64encode(key).decode()}")
    lines += ["", "The secret key is not on this sheet: a new one only ends all sessions."]
    return "\n".join(lines) + "\n"


def shown() -> None:
    """Record that the sheet was printed."""
    with transaction.atomic():
        record(Tag.KEYS_SHOWN, target=Target("keys", fingerprint()))


def confirm(typed: str) -> None:
    """Record that a copy exists: its fingerprint was typed in from it. Raises FingerprintError."""
    wanted = fingerprint().replace("-", "")
    given = "".join(typed.upper().split()).replace("-", "")
    if not hmac.compare_digest(given.encode(), wanted.encode()):
        raise FingerprintError("This is not the fingerprint of the keys in use. Read it from the sheet itself.")
    with transaction.atomic():
        record(Tag.KEYS_CONFIRMED, target=Target("keys", fingerprint()), detail={"fingerprint": fingerprint()})


def confirmation() -> Confirmation | None:
    """The latest confirmation of a copy of the keys in use."""
    events = Event.objects.filter(tag=Tag.KEYS_CONFIRMED.value, target_kind="keys", target_id=fingerprint())
    latest = events.order_by("-at", "-id").first()
    return Confirmation(latest.at, latest.actor_label) if latest else None
