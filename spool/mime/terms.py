"""Words of texts and of search questions, made comparable. Pure; spool.queue.searchindex hashes and stores.

The same rules serve both sides, so that what is found depends on no language: compatibility forms folded (NFKC),
letter case and diacritics dropped, everything that is no letter or digit separates. Scripts written without spaces
become one term a character; a question in them is a phrase. Linear in the text, and bounded.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from spool.mime.parsed import MailAddress, ParsedMessage
from spool.mime.textual import html_to_text

MAX_TERM = 64  # characters; a longer term is cut
MAX_BODY = 12_000  # terms; with the other fields below the 16,383 positions of a PostgreSQL tsvector
APART = "|"  # stands between two texts of one field; no question holds it, so no phrase reaches over
MAX_FIELD = 200  # terms of every other field
MAX_TEXT = 200_000  # characters of a text that are looked at
MAX_ADDRESSES = 50  # of each header field
MAX_RUN = 256  # characters without a space that are normalised together
PREFIXES = range(3, 7)  # lengths of the beginnings of words that can be found
FIELDS = ("subject", "sender", "recipients", "files", "body")

# Of ASCII text: capital letters become small ones, everything but letters and digits separates.
_ASCII = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 32 for code in range(256))
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_SPACELESS += "\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W_{_SPACELESS}]+")
_LONG_RUN = re.compile(rf"(\S{{{MAX_RUN + 1},}})")
_MARKS = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\u00ad\u200b-\u200f\u2060\ufeff]+"
)


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", _MARKS.sub("", plain))


def _pieces(text: str) -> Iterator[str]:
    """`text` with long runs cut: normalising takes the square of the number of combining marks that touch."""
    for number, part in enumerate(_LONG_RUN.split(text)):
        size = MAX_RUN if number % 2 else len(part) + 1
        yield from (part[start : start + size] for start in range(0, len(part), size))


def _ascii_words(text: str, limit: int) -> list[str]:
    words = text.encode("ascii").translate(_ASCII).decode("ascii").split(None, limit)
    return words[:limit]  # the last of one more holds all that was not split


def terms(text: str, limit: int = MAX_FIELD) -> list[str]:
    """The terms of `text` in order, at most `limit`."""
    text = text[:MAX_TEXT]
    found = _ascii_words(text, limit) if text.isascii() else _WORD.findall("".join(map(_folded, _pieces(text))))[:limit]
    if found and max(map(len, found)) > MAX_TERM:
        return [term[:MAX_TERM] for term in found]
    return found


def _addresses(shown: Iterable[MailAddress]) -> str:
    return " ".join(f"{one.name} {one.address}" for one in list(shown)[:MAX_ADDRESSES])


def _body(message: ParsedMessage) -> list[str]:
    """The words of the HTML, which is what people see, and those of a plain text beside it that says something else."""
    plain = terms(message.text, MAX_BODY)
    if message.text_of_html or not message.html:
        return plain
    shown = terms(html_to_text(message.html), MAX_BODY)
    if _holds(shown, plain):
        return shown
    return plain if _holds(plain, shown) else [*shown, APART, *plain][:MAX_BODY]


def _holds(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether `others` stand in `words` as they are, so that every phrase of theirs is found there too."""
    return f" {' '.join(others)} " in f" {' '.join(words)} " or not others


def of_message(message: ParsedMessage) -> dict[str, str]:
    """Field to its terms, separated by spaces; only fields that have some."""
    texts = {
        "subject": message.subject,
        "sender": _addresses(message.from_),
        "recipients": _addresses((*message.to, *message.cc)),
        "files": " ".join(part.name for part in message.attachments[:MAX_ADDRESSES]),
    }
    found = {name: " ".join(terms(text)) for name, text in texts.items()}
    found["body"] = " ".join(_body(message))
    return {name: words for name, words in found.items() if words}


def prefixes(words: Iterable[str]) -> set[str]:
    """The beginnings of `words` that a question's unfinished last word may be."""
    return {word[:length] for word in words for length in PREFIXES if len(word) > length}


@dataclass(frozen=True)
class Phrase:
    """Terms that must follow each other, in one field or ("") in any; `open_end`: its last word may go on."""

    words: tuple[str, ...]
    field: str = ""
    open_end: bool = False


MAX_QUESTION = 400  # characters
MAX_PHRASES = 16
MAX_WORDS = 40  # of all phrases together
_NAMES = {"from": "sender", "to": "recipients", "subject": "subject", "file": "files"}
_ITEM = re.compile(r'(?:(from|to|subject|file):)?(?:"([^"]*)"?|([^\s"]+))', re.I)


class TooLongError(ValueError):
    """A question with more characters, words or phrases than are looked for."""


def question(text: str) -> list[Phrase]:
    """What a person typed: words, "phrases", from:, to:, subject: and file:. Empty when nothing can be looked for.

    Raises TooLongError.
    """
    if len(text) > MAX_QUESTION:
        raise TooLongError
    found: list[Phrase] = []
    for match in _ITEM.finditer(text):
        name, quoted, word = match.groups()
        words = tuple(terms(quoted if quoted is not None else word))
        unfinished = word is not None and match.end() == len(text)
        open_end = unfinished and len(words) == 1 and len(words[0]) in PREFIXES
        if words:
            found.append(Phrase(words, _NAMES[name.lower()] if name else "", open_end))
    if len(found) > MAX_PHRASES or sum(len(phrase.words) for phrase in found) > MAX_WORDS:
        raise TooLongError
    return found
