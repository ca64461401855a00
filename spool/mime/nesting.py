"""How deep the tags of an HTML text nest, found in linear time. Pure.

An HTML parser needs time quadratic in the depth for some elements; what nests deeper than any real mail is shown as
text instead of being handed to it. The estimate follows the scopes of the HTML standard (13.2.4.2) where they matter.
"""

import re
from collections import Counter

MAX_NESTING = 2_000
MAX_STEPS = 1_000_000

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})")
# Elements without content, and those whose end is implied by the next of their kind.
_FLAT = frozenset(
    {
        "area", "base", "basefont", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
        "track", "wbr", "p", "li", "dd", "dt", "option", "tr", "thead", "tbody", "tfoot", "html", "head", "body",
    }
)  # fmt: skip
_SCOPES = frozenset({"table", "td", "th", "caption", "object", "applet", "marquee", "template", "svg", "math"})


class _Stack:
    """The elements that are open, as far as their nesting matters."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.opened: Counter[str] = Counter()  # how many of each name the stack holds
        self.steps = 0

    def open(self, name: str) -> None:
        if name in {"td", "th"} and self.names and self.names[-1] in {"td", "th"}:
            return  # the next cell ends the one before
        self.names.append(name)
        self.opened[name] += 1

    def close(self, name: str) -> None:
        if not self.opened[name]:
            return
        for position in range(len(self.names) - 1, -1, -1):
            self.steps += 1
            if self.names[position] == name:
                self.opened.subtract(self.names[position:])
                del self.names[position:]
                return
            if self.names[position] in _SCOPES and name not in _SCOPES:
                return


def too_deep(html: str) -> bool:
    """Whether tags nest deeper than MAX_NESTING (or are tangled so that telling would take too long)."""
    stack = _Stack()
    for match in _TAG.finditer(html):
        name = match[2].lower()
        if name in _FLAT:
            continue
        if match[1]:
            stack.close(name)
        else:
            stack.open(name)
        if len(stack.names) > MAX_NESTING or stack.steps > MAX_STEPS:
            return True
    return False
