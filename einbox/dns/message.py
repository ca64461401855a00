"""DNS messages as octets (RFC 1035 section 4): one question out, the records of its answer in. Pure.

Strict: what is not the answer to the question that was asked, or is malformed, is a MessageError.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

HEADER = struct.Struct("!6H")
RECORD = struct.Struct("!HHIH")
IN = 1
RESPONSE, TRUNCATED, WANT_RECURSION = 0x8000, 0x0200, 0x0100
NO_ERROR, NO_SUCH_NAME = 0, 3
MAX_NAME = 255  # octets (RFC 1035 section 2.3.4)
MAX_RECORDS = 200
ALIASES = 8  # CNAMEs followed within one answer


class MessageError(ValueError):
    """Not a DNS message, or not the answer to this question."""


class Kind(IntEnum):
    """Record types asked for; CNAME comes along in answers."""

    A = 1
    CNAME = 5
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28


KNOWN = frozenset(Kind)


@dataclass(frozen=True)
class Record:
    """One record: `value` is an address, a name in lower case, or the strings of a TXT joined; `ttl` in seconds.

    `preference` of an MX. A text is shown as a name is: what is not printable ASCII, and the backslash, as digits.
    """

    kind: Kind
    value: str
    ttl: int
    preference: int = 0


@dataclass(frozen=True)
class Answer:
    """What a server said. `truncated`: ask again over TCP. `failed`: the server could not find out."""

    records: tuple[Record, ...] = ()
    truncated: bool = False
    failed: bool = False


def encode_name(name: str) -> bytes:
    """Labels with their lengths. Raises MessageError for what is no domain name of A-labels."""
    try:
        labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    except UnicodeEncodeError as error:
        raise MessageError("the name is not in ASCII") from error
    if not all(0 < len(label) < 64 for label in labels):
        raise MessageError("a label is empty or longer than 63 octets")
    octets = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(octets) > MAX_NAME:
        raise MessageError("the name is longer than 255 octets")
    return octets


def question(number: int, name: str, kind: Kind) -> bytes:
    """The query with id `number`. Raises MessageError."""
    return HEADER.pack(number, WANT_RECURSION, 1, 0, 0, 0) + encode_name(name) + struct.pack("!HH", kind, IN)


def read_name(octets: bytes, at: int) -> tuple[str, int]:
    """The name at offset `at`, in lower case, and where it ends. Each pointer must lead further back: no loops."""
    labels: list[str] = []
    end, floor, size = 0, at, 0
    while True:
        length = _byte(octets, at)
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | _byte(octets, at + 1)
            if target >= floor:
                raise MessageError("a name points forward or at itself")
            end, at, floor = end or at + 2, target, target
            continue
        if length > 63:
            raise MessageError("a label of unknown form")
        at += 1
        if length == 0:
            return ".".join(labels), end or at
        size += length + 1
        if at + length > len(octets) or size >= MAX_NAME:
            raise MessageError("a name runs beyond its end")
        labels.append("".join(map(_shown, octets[at : at + length])).lower())
        at += length


def _shown(octet: int) -> str:
    """As in master files (RFC 1035 section 5.1): what a server names steers no terminal and forges no line."""
    if octet in b".\\":
        return "\\" + chr(octet)
    return chr(octet) if 0x21 <= octet < 0x7F else f"\\{octet:03d}"


def _byte(octets: bytes, at: int) -> int:
    if at >= len(octets):
        raise MessageError("the message ends too early")
    return octets[at]


def read_answer(octets: bytes, number: int, name: str, kind: Kind) -> Answer:
    """The answer to `question(number, name, kind)`. Raises MessageError."""
    if len(octets) < HEADER.size:
        raise MessageError("the message ends too early")
    given, flags, questions, answers, _authorities, _additional = HEADER.unpack_from(octets)
    if given != number or not flags & RESPONSE or flags & 0x7800:
        raise MessageError("not an answer to this question")
    code = flags & 0x000F
    if questions != 1:  # a server that failed may leave the question out
        return _failure(code, questions)
    asked, at = read_name(octets, HEADER.size)
    if len(octets) < at + 4 or (asked, *struct.unpack_from("!HH", octets, at)) != (_plain(name), kind, IN):
        raise MessageError("an answer to another question")
    if flags & TRUNCATED:
        return Answer(truncated=True)
    if code not in (NO_ERROR, NO_SUCH_NAME):
        return Answer(failed=True)
    if answers > MAX_RECORDS:
        raise MessageError("too many records")
    return Answer(_matching(_records(octets, at + 4, answers), _plain(name), kind))


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _failure(code: int, questions: int) -> Answer:
    if questions == 0 and code not in (NO_ERROR, NO_SUCH_NAME):
        return Answer(failed=True)
    raise MessageError("an answer without its question")


def _records(octets: bytes, at: int, count: int) -> list[tuple[str, Record]]:
    found = []
    for _ in range(count):
        owner, at = read_name(octets, at)
        if len(octets) < at + RECORD.size:
            raise MessageError("the message ends too early")
        kind, family, ttl, length = RECORD.unpack_from(octets, at)
        at += RECORD.size
        if len(octets) < at + length:
            raise MessageError("a record runs beyond its end")
        if family == IN and kind in KNOWN:
            found.append((owner, _record(octets, at, length, Kind(kind), ttl)))
        at += length
    return found


def _record(octets: bytes, at: int, length: int, kind: Kind, ttl: int) -> Record:
    data, preference = octets[at : at + length], 0
    if kind in (Kind.A, Kind.AAAA):
        if length != (4 if kind is Kind.A else 16):
            raise MessageError("an address of wrong length")
        return Record(kind, str(IPv4Address(data) if kind is Kind.A else IPv6Address(data)), ttl)
    if kind is Kind.TXT:
        return Record(kind, _text(data), ttl)
    start = at
    if kind is Kind.MX:
        if length < 3:
            raise MessageError("an MX record ends too early")
        (preference,) = struct.unpack_from("!H", octets, at)
        start += 2
    value, end = read_name(octets, start)
    if end != at + length:
        raise MessageError("a name does not end with its record")
    return Record(kind, value, ttl, preference)


def _text(data: bytes) -> str:
    """The character-strings of a TXT record as one (RFC 1035 section 3.3.14, RFC 6376 section 3.6.2.2)."""
    octets, at = b"", 0
    while at < len(data):
        end = at + 1 + data[at]
        if end > len(data):
            raise MessageError("a string runs beyond its record")
        octets, at = octets + data[at + 1 : end], end
    return "".join(chr(octet) if 0x20 <= octet < 0x7F and octet != 0x5C else f"\\{octet:03d}" for octet in octets)


def _matching(found: list[tuple[str, Record]], name: str, kind: Kind) -> tuple[Record, ...]:
    """Records of the name that was asked for, or of what its aliases lead to."""
    for _ in range(ALIASES):
        own = tuple(record for owner, record in found if owner == name and record.kind is kind)
        alias = next((record.value for owner, record in found if owner == name and record.kind is Kind.CNAME), None)
        if own or alias is None:
            return own
        name = alias
    return ()
