"""Header values as ASCII: guard against injection, folding, encoded words and parameters. Pure.

Implements RFC 5322 section 2.2.3 (folding), RFC 2047 (encoded words) and RFC 2231 (parameters).
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import quote as percent

from spool.mime.parsed import MailAddress

LINE = 76
MAX_FIELD = 10_000  # characters of one value before encoding
WORD_OCTETS = 42  # of UTF-8 in one encoded word: 56 of base64 and 12 around it stay below 75

_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_ATOM_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_ADDRESS = re.compile(
    r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*|\"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*\")"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[A-Za-z0-9:.-]+\])"
)
_ID = re.compile(r"[\x21-\x3b\x3d\x3f-\x7e]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")


class ComposeError(ValueError):
    """A field cannot be sent; the text is a sentence for the person who wrote it."""


def check(value: str, field: str) -> str:
    """`value`, or ComposeError if it holds a control character or is too long."""
    if _CONTROL.search(value):
        raise ComposeError(f"{field} holds a line break or another control character.")
    if len(value) > MAX_FIELD:
        raise ComposeError(f"{field} is too long.")
    return value


def encoded_words(text: str) -> str:
    """`text` as folded RFC 2047 words that never split a character."""
    words, chunk = [], b""
    for character in text:
        octets = character.encode("utf-8")
        if len(chunk) + len(octets) > WORD_OCTETS:
            words.append(chunk)
            chunk = b""
        chunk += octets
    words.append(chunk)
    return "\r\n ".join(f"=?utf-8?b?{b64encode(word).decode('ascii')}?=" for word in words)


def fold(text: str, used: int) -> str:
    """Break ASCII text without double spaces into lines of at most LINE octets where that is possible."""
    lines, current, room = [], "", LINE - used
    for word in text.split(" "):
        if current and len(current) + 1 + len(word) > room:
            lines.append(current)
            current, room = " " + word, LINE
        else:
            current = f"{current} {word}" if current else word
    lines.append(current)
    return "\r\n".join(lines)


def unstructured(value: str, field: str) -> str:
    """A Subject-like value (RFC 5322 section 3.6.5)."""
    value = check(value, field).strip()
    plain = value.isascii() and "=?" not in value and "  " not in value
    if plain and all(len(word) < LINE * 4 for word in value.split(" ")):
        return fold(value, len(field) + 2)
    return encoded_words(value)


def _phrase(name: str) -> str:
    if name.isascii() and "=?" not in name and len(name) < LINE * 4:
        if _ATOM_PHRASE.fullmatch(name):
            return name
        return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return encoded_words(name)


def _one(address: MailAddress, field: str) -> str:
    name = check(address.name, field).strip()
    spec = check(address.address, field)
    if len(spec) > 320 or not _ADDRESS.fullmatch(spec) or ".." in spec.rpartition("@")[2]:
        raise ComposeError(f"{field}: {spec[:100]!r} is not a mail address.")
    return f"{_phrase(name)} <{spec}>" if name else spec


def address_field(addresses: Sequence[MailAddress], field: str) -> str:
    """An address list, one address a line."""
    return ",\r\n ".join(_one(address, field) for address in addresses)


def id_field(ids: Sequence[str], field: str) -> str:
    """Message identifiers in angle brackets, one a line (RFC 5322 section 3.6.4)."""
    for one in ids:
        if len(check(one, field)) > 900 or not _ID.fullmatch(one):
            raise ComposeError(f"{field} is not a message identifier.")
    return "\r\n ".join(f"<{one}>" for one in ids)


def parameter(name: str, value: str) -> str:
    """`;` and a folded parameter: a token, a quoted string, or RFC 2231 pieces."""
    if value.isascii() and len(value) < 60 and "=?" not in value:
        if _TOKEN.fullmatch(value):
            return f";\r\n {name}={value}"
        return f";\r\n {name}=" + '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    encoded = percent(value, safe="")
    if len(encoded) < 60:
        return f";\r\n {name}*=utf-8''{encoded}"
    pieces = [encoded[start : start + 50] for start in range(0, len(encoded), 50)]
    rest = "".join(f";\r\n {name}*{number}*={piece}" for number, piece in enumerate(pieces[1:], 1))
    return f";\r\n {name}*0*=utf-8''{pieces[0]}{rest}"
