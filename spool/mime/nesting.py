"""How deep the tags of an HTML text nest, found in linear time. Pure.

An HTML parser needs time quadratic in the depth for some elements; what nests deeper than any real mail is shown as
text instead of being handed to it. The estimate follows the scopes of the HTML standard (13.2.4.2) where they matter.
"""

import re

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


def too_deep(html: str) -> bool:
    """Whether tags nest deeper than MAX_NESTING (or are tangled so that telling would take too long)."""
    stack: list[str] = []
    steps = 0
    for match in _TAG.finditer(html):
        name = match[2].lower()
        if name in _FLAT:
            continue
        if not match[1]:
            if name in {"td", "th"} and stack and stack[-1] in {"td", "th"}:
                continue
            stack.append(name)
            if len(stack) > MAX_NESTING:
                return True
            continue
        for position in range(len(stack) - 1, -1, -1):
            steps += 1
            if stack[position] == name:
                del stack[position:]
                break
            if stack[position] in _SCOPES and name not in _SCOPES:
                break
        if steps > MAX_STEPS:
            return True
    return False
