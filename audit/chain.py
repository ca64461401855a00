"""The hash chain over events. Pure: no Django, no database, no clock.

A sealed event is (seq, previous_hash, hash, event). `hash` is

    SHA-256( "einbox.audit.event.v1\\n" || seq as 8 bytes big-endian || previous hash as 32 bytes || canonical event )

and `previous_hash` is the hash of the event before, or GENESIS for seq 1; seq counts from 1 without a gap. The
canonical event is JSON in the manner of RFC 8785: no white space, object members sorted by their names' UTF-16 code
units, strings with the shortest escapes, numbers as ECMAScript writes them. One difference: integers are written in
full whatever their size. audit.verifier holds a second implementation for people who do not trust this one.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any

DOMAIN = b"einbox.audit.event.v1\n"
GENESIS = hashlib.sha256(b"einbox.audit.genesis.v1\n").hexdigest()


class CanonicalError(ValueError):
    """A value has no canonical form: a number that is not finite, a lone surrogate, or no JSON type."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """One link of the chain; `event` holds every hashed field, `hash` and `previous_hash` are 64 hex digits."""

    seq: int
    previous_hash: str
    hash: str
    event: Mapping[str, Any]


@dataclass(frozen=True)
class Break:
    """The first event of a chain that does not verify."""

    seq: int  # what the chain says, or where the event should have been
    cause: str


def canonical_float(value: float) -> str:
    """ECMAScript Number::toString (RFC 8785 section 3.2.2.3). Raises CanonicalError."""
    if not math.isfinite(value):
        message = "a number must be finite"
        raise CanonicalError(message)
    if abs(value) < 2**53 and value == int(value):
        return str(int(value))
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent or 0)  # the value is 0.DIGITS × 10^point
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


def utf16_order(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")


def canonical(value: Any) -> str:
    """Canonical JSON text of a JSON value. Raises CanonicalError."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return canonical_float(value)
    if isinstance(value, Mapping):
        names = sorted(value) if "".join(value).isascii() else sorted(value, key=utf16_order)
        return "{" + ",".join([f"{encode_basestring(name)}:{canonical(value[name])}" for name in names]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([canonical(item) for item in value]) + "]"
    message = f"{type(value).__name__} is no JSON type"
    raise CanonicalError(message)


def canonical_time(at: datetime) -> str:
    """UTC with six decimals and a Z: one text for one moment on both databases."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def row_hash(seq: int, previous_hash: str, event: Mapping[str, Any]) -> str:
    """The hash of one event, 64 hex digits. Raises CanonicalError, OverflowError for a seq outside 64 bits."""
    try:
        body = canonical(event).encode()
    except UnicodeEncodeError as error:
        message = "text holds a lone surrogate"
        raise CanonicalError(message) from error
    return hashlib.sha256(DOMAIN + seq.to_bytes(8, "big") + bytes.fromhex(previous_hash) + body).hexdigest()


def verify_segment(rows: Iterable[Sealed], *, after: tuple[int, str] = (0, GENESIS)) -> Break | tuple[int, str]:
    """Check rows in order, following (seq, hash) `after`; the first Break, or the last (seq, hash). Streams."""
    seq, previous = after
    for row in rows:
        if row.seq != seq + 1:
            return Break(min(row.seq, seq + 1), f"expected seq {seq + 1}, found {row.seq}")
        if row.previous_hash != previous:
            return Break(row.seq, "does not follow the event before")
        try:
            found = row_hash(row.seq, previous, row.event)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            return Break(row.seq, f"cannot be hashed ({error})")
        if found != row.hash:
            return Break(row.seq, "its content does not match its hash")
        seq, previous = row.seq, row.hash
    return seq, previous
