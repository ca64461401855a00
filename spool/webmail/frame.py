"""How tall a message body will be, guessed: the sandboxed frame has no origin and cannot be measured. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

WIDE, NARROW = 78, 40  # characters a line
LINE = 26  # px
PADDING = 24  # px
LOOKED_AT = 400_000  # characters of HTML; what is longer scrolls anyway
TALLEST = 12_000  # px
IMAGE_HEIGHT = 120  # px
# No character of a tag is looked at twice, however broken the HTML.
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)[^<>]*>", re.I)
_HIDDEN = frozenset({"head", "script", "style", "title"})
# Pixels that a block needs beside its lines: margins, cell padding, larger letters.
_BLOCKS = {"br": 0, "div": 0, "li": 4, "p": 20, "tr": 14, "pre": 26, "blockquote": 26, "ul": 16, "ol": 16, "table": 8}
_BLOCKS |= {"hr": 20, "h1": 56, "h2": 44, "h3": 36, "h4": 28, "h5": 28, "h6": 28}


@dataclass(frozen=True)
class Height:
    """Pixels at a wide and at a narrow reading pane; the frame scrolls by itself when the guess is short."""

    wide: int
    narrow: int


def height(text: str, html: str = "") -> Height:
    """The height for `html` if there is any, else for the plain `text`; the two may differ much in length."""
    if html:
        lines, extra = _laid_out(html[:LOOKED_AT])
        return Height(_pixels(lines, WIDE, extra), _pixels(lines, NARROW, extra))
    unquoted = [line for line in text.split("\n") if not line.startswith(">")]
    return Height(_pixels(unquoted, WIDE), _pixels(unquoted, NARROW))


def _laid_out(html: str) -> tuple[list[str], int]:
    """Lines of visible text, and the pixels that their blocks and pictures add."""
    lines, extra = [""], PADDING
    for text, closes, name in _pieces(html):
        lines[-1] += text
        if name == "img":
            extra += IMAGE_HEIGHT
        elif name in _BLOCKS:
            lines.append("")
            extra += 0 if closes else _BLOCKS[name]
    folded = (" ".join(unescape(line).split()) for line in lines)
    return [line for line in folded if line], extra


def _pieces(html: str) -> Iterator[tuple[str, bool, str]]:
    """Visible text, and the tag that follows it: whether it closes, and its name ("" at the end)."""
    hidden, start = "", 0
    for tag in _TAG.finditer(html):
        name, closes = tag[2].lower(), bool(tag[1])
        if not hidden:
            yield html[start : tag.start()], closes, name
            hidden = name if name in _HIDDEN and not closes else ""
        elif closes and name == hidden:
            hidden = ""
        start = tag.end()
    yield ("" if hidden else html[start:]), True, ""


def _pixels(lines: list[str], width: int, extra: int = 0) -> int:
    rows = sum(max(1, -(-len(line) // width)) for line in lines)
    return min(TALLEST, max(2, rows + 1) * LINE + PADDING + extra)
