"""The few CSS declarations a mail's `style` attribute may keep. Pure.

A declaration is rebuilt from its tokens; any token outside the allowed kinds drops the whole declaration, so no
url(), var(), image-set(), escape or at-rule survives whatever way it is written.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import tinycss2

MAX_STYLE = 4_096  # characters of one attribute
MAX_VALUE = 300

_SIDES = ("top", "right", "bottom", "left")
PROPERTIES = frozenset(
    {
        "color", "background-color", "font", "font-family", "font-size", "font-style", "font-weight", "line-height",
        "letter-spacing", "text-align", "text-decoration", "text-transform", "text-indent", "vertical-align",
        "white-space", "direction", "width", "max-width", "min-width", "height", "padding", "margin", "border",
        "border-color", "border-style", "border-width", "border-radius", "border-collapse", "border-spacing",
        "display", "list-style-type",
    }
    | {f"{name}-{side}" for name in ("padding", "margin", "border") for side in _SIDES}
)  # fmt: skip
_DISPLAYS = frozenset(
    {"none", "block", "inline", "inline-block", "table", "table-row", "table-cell", "list-item", "inline-table"}
)
_PLAIN = frozenset({"ident", "number", "percentage", "dimension", "hash", "whitespace", "string"})
_COLOURS = frozenset({"rgb", "rgba", "hsl", "hsla"})
_FORBIDDEN = ("\\", "@", "<", ">", "url(", "var(", "expression", "/*")


def _harmless(tokens: Iterable[Any]) -> bool:
    for token in tokens:
        if token.type == "literal":
            if token.value not in {",", "/"}:
                return False
        elif token.type == "function":
            if token.lower_name not in _COLOURS or any(
                inner.type not in _PLAIN and not (inner.type == "literal" and inner.value in {",", "/"})
                for inner in token.arguments
            ):
                return False
        elif token.type not in _PLAIN:
            return False
    return True


def _value(name: str, tokens: list[Any]) -> str | None:
    if not _harmless(tokens):
        return None
    text = tinycss2.serialize(tokens).strip()
    lowered = text.lower()
    if not text or len(text) > MAX_VALUE or any(word in lowered for word in _FORBIDDEN):
        return None
    if name == "display" and lowered not in _DISPLAYS:
        return None
    return text


def _shorthand(name: str, tokens: list[Any]) -> str:
    """`background` with nothing but a colour is a background-color; anything else keeps its name."""
    if name == "background" and len([token for token in tokens if token.type != "whitespace"]) == 1:
        return "background-color"
    return name


@lru_cache(maxsize=2_048)
def clean_style(style: str) -> str:
    """The allowed declarations of a style attribute, in order; "" when none is left. A fixpoint of itself."""
    if len(style) > MAX_STYLE:
        return ""
    kept = []
    for item in tinycss2.parse_blocks_contents(style, skip_comments=True, skip_whitespace=True):
        if item.type != "declaration":
            continue
        name = _shorthand(item.lower_name, item.value)
        if name in PROPERTIES and (value := _value(name, item.value)) is not None:
            kept.append(f"{name}: {value}" + (" !important" if item.important else ""))
    return "; ".join(kept)
