"""How tall a message body will be, guessed: the sandboxed frame has no origin and cannot be measured. Pure."""

import re
from dataclasses import dataclass

WIDE, NARROW = 78, 40  # characters a line
LINE = 26  # px
PADDING = 24  # px
_BREAKS = re.compile(r"<(?:br|p|div|tr|li|h[1-6]|blockquote|hr|pre)\b", re.I)
_IMAGE = re.compile(r"<img\b", re.I)
IMAGE_HEIGHT = 120  # px


@dataclass(frozen=True)
class Height:
    """Pixels at a wide and at a narrow reading pane; the frame scrolls by itself when the guess is short."""

    wide: int
    narrow: int


def height(text: str, html: str = "") -> Height:
    """The height for plain text, or for `html` whose text is `text`."""
    extra = 0
    if html:
        extra = _IMAGE.subn("", html)[1] * IMAGE_HEIGHT + _BREAKS.subn("", html)[1] * LINE // 3
    quoted = [line for line in text.split("\n") if not line.startswith(">")] if not html else text.split("\n")
    return Height(_pixels(quoted, WIDE) + extra, _pixels(quoted, NARROW) + extra)


def _pixels(lines: list[str], width: int) -> int:
    return min(12_000, max(2, sum(max(1, -(-len(line) // width)) for line in lines) + 1) * LINE + PADDING)
