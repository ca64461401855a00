"""Text out of header values: encoded words (RFC 2047), and stripping of what could disturb a page. Pure."""

import re
from base64 import b64decode
from binascii import Error as BinasciiError
from quopri import decodestring

from spool.mime import charsets

MAX_WORDS = 200  # encoded words decoded per value; the rest stays as it is

# C0, DEL, C1; bidi marks, embeddings, overrides, isolates; zero-width; separators; interlinear; tags; surrogates. As
# the inside of a character class.
UNSEEN = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_UNSEEN = re.compile(f"[{UNSEEN}]")
# Joiners build emoji and Persian or Indic words; beside ASCII they only hide. A match begins where a run does, never
# inside it: that would take the square of the run's length.
_JOINER = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]++|(?<![\u200c\u200d])[\u200c\u200d]++(?![^\x00-\x7f])")
_BREAK = re.compile(r"[\t\r\n]")
_SPACES = re.compile(" {2,}")
_WORD = re.compile(r"=\?([^?\s]{1,64})\?([bBqQ])\?([^?]*)\?=")


def clean(text: str) -> str:
    """One line for display: white space runs become one space; control, bidi and zero-width characters go."""
    if not (text.isascii() and text.isprintable()):
        text = _JOINER.sub("", _UNSEEN.sub("", _BREAK.sub(" ", text)))
    return (_SPACES.sub(" ", text) if "  " in text else text).strip(" ")


def _word_bytes(encoding: str, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return decodestring(raw.replace(b"_", b" "), header=True)
    raw = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
    if len(raw) % 4 == 1:
        raw = raw[:-1]
    try:
        return b64decode(raw + b"=" * (-len(raw) % 4))
    except (BinasciiError, ValueError):
        return b""


def decode_words(value: str) -> str:
    """Decode up to MAX_WORDS encoded words; white space between two of them vanishes (RFC 2047 section 6.2)."""
    if "=?" not in value:
        return value
    out: list[str] = []
    pending: list[bytes] = []  # adjacent words of one charset: characters are sometimes split across them
    charset, position = "", 0
    for number, match in enumerate(_WORD.finditer(value)):
        if number >= MAX_WORDS:
            break
        between = value[position : match.start()]
        label = match[1].partition("*")[0].lower()  # RFC 2231 section 5: charset*language
        if pending and (between.strip() or label != charset):
            out.append(charsets.decode(b"".join(pending), charset).text)
            pending = []
            between = between if between.strip() else ""
        if between.strip() or position == 0:
            out.append(between)
        pending.append(_word_bytes(match[2], match[3]))
        charset, position = label, match.end()
    if pending:
        out.append(charsets.decode(b"".join(pending), charset).text)
    out.append(value[position:])
    return "".join(out)


def display(raw: bytes) -> str:
    """A whole unstructured header value (RFC 5322 section 2.2.1), decoded and cleaned. Never raises."""
    return clean(decode_words(charsets.header_text(raw)))
