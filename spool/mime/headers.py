"""The header block as octets: a fast scan for list columns, and its fields. Pure, linear, never raises."""

import re
from typing import NamedTuple

from spool.mime import addresses, charsets, words

MAX_BLOCK = 100 * 1024  # octets of a header block that are read; the rest stays raw
MAX_FIELDS = 1_000
SUBJECT_LENGTH = NAME_LENGTH = MESSAGE_ID_LENGTH = 255  # characters kept in list columns
ADDRESS_LENGTH = 320

_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:(.*(?:\n[ \t].*)*+)", re.M)
_LISTED = re.compile(rb"^(subject|from|message-id|received)[ \t]*+:(.*(?:\n[ \t].*)*+)", re.M | re.I)
_PLAIN_FROM = re.compile(  # only tried on short values: its two runs of spaces would be slow on long ones
    rb'(?:"([\x20\x21\x23-\x5b\x5d-\x7e]*)"|([\w !#$%&\'*+\-/=?^`{|}~.]*?))\s*'
    rb"<([\w!#$%&'*+\-/=?^`{|}~.]+@[\w.-]+)>"
)
_PLAIN_LENGTH = 500
_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")


class ListColumns(NamedTuple):
    """What a list shows of a message; each value is cut to its column, cleaned, and may be empty."""

    message_id: str = ""  # without angle brackets
    subject: str = ""
    from_name: str = ""
    from_address: str = ""
    hops: int = 0  # Received fields (RFC 5321 section 6.3)


def block_end(raw: bytes, start: int = 0, end: int | None = None) -> tuple[int, int]:
    """(end of the header block, start of the body) of raw[start:end]; without an empty line all is header."""
    stop = len(raw) if end is None else end
    if raw.startswith((b"\r\n", b"\n"), start) and start < stop:
        return start, min(stop, raw.index(b"\n", start) + 1)
    found = raw.find(b"\n\r\n", start, stop)  # two searches: one pattern for both would take ten times as long
    bare = raw.find(b"\n\n", start, stop if found < 0 else found + 1)
    if bare >= 0:
        return bare + 1, bare + 2
    return (found + 1, found + 3) if found >= 0 else (stop, stop)


def fields(block: bytes) -> list[tuple[str, bytes]]:
    """(lower-case name, unfolded raw value) of at most MAX_FIELDS fields, in order."""
    found = []
    for match in _FIELD.finditer(block, 0, MAX_BLOCK):
        value = match[2].strip(b" \t\r\n")
        if b"\n" in value:  # unfold, RFC 5322 section 2.2.3
            value = value.replace(b"\r\n", b"").replace(b"\n", b"")
        found.append((match[1].decode("ascii").lower(), value))
        if len(found) >= MAX_FIELDS:
            break
    return found


def message_id(raw: bytes) -> str:
    """The first <…> of a Message-ID or In-Reply-To value without brackets, else the whole value, cleaned."""
    text = charsets.header_text(raw)
    match = _MESSAGE_ID.search(text)
    return words.clean(match[1] if match else text).replace(" ", "")


def _sender(raw: bytes) -> tuple[str, str]:
    if len(raw) <= _PLAIN_LENGTH and (match := _PLAIN_FROM.fullmatch(raw)):
        name = (match[1] or match[2] or b"").decode("ascii")
        if "=?" not in name:
            return words.clean(name), match[3].decode("ascii")
        return words.clean(words.decode_words(name)), match[3].decode("ascii")
    found = addresses.parse_list(charsets.header_text(raw))
    if not found:
        return "", ""
    first = next((one for one in found if one.address), found[0])
    return first.name, first.address


def scan(raw: bytes) -> ListColumns:
    """List columns of a message from its first MAX_BLOCK octets; the first field of a name wins. Never raises."""
    head = raw[:MAX_BLOCK]
    stop, _ = block_end(head)
    first: dict[bytes, bytes] = {}
    hops = 0
    for match in _LISTED.finditer(head, 0, stop):
        name = match[1].lower()
        if name == b"received":
            hops += 1
        elif name not in first:
            first[name] = match[2].strip(b" \t\r\n")
    name_text, address = _sender(first.get(b"from", b""))
    return ListColumns(
        message_id=message_id(first.get(b"message-id", b""))[:MESSAGE_ID_LENGTH],
        subject=words.display(first.get(b"subject", b""))[:SUBJECT_LENGTH],
        from_name=name_text[:NAME_LENGTH],
        from_address=address[:ADDRESS_LENGTH],
        hops=hops,
    )
