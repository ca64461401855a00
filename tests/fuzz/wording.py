"""Promises about text that is shown in one line or stored, told without the product's own expressions."""

import unicodedata

from tests.fuzz.target import check

BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
HIDDEN = frozenset("\u00ad\u180e\u200b\u2060\u2061\u2062\u2063\u2064\ufeff\ufff9\ufffa\ufffb")


def storable(text: str) -> None:
    """Neither NUL nor a lone surrogate: both databases keep it."""
    check("\0" not in text, "a NUL in a text", text)
    check(not any(0xD800 <= ord(c) <= 0xDFFF for c in text), "a lone surrogate", text)


def harmless(text: str) -> None:
    """No control, line separator, surrogate or bidi-steering character."""
    if text.isascii() and text.isprintable():
        return
    for character in text:
        category = unicodedata.category(character)
        check(category not in {"Cc", "Cs", "Zl", "Zp"}, "a control character in a text", text, character)
        check(character not in BIDI, "a character that steers the direction", text, character)


def one_line(text: str, longest: int) -> None:
    """A text that is shown in one line: harmless, without hidden characters, bounded."""
    harmless(text)
    check(not HIDDEN & set(text), "a hidden character", text)
    check(len(text) <= longest, "a text that is too long", len(text))
