"""How deep the tags of an HTML text nest, and how tangled they are, found in linear time. Pure.

An HTML parser needs time quadratic in the depth for some elements, in the number of a tag's attributes, and in the
formatting elements that it opens again in each block; the one behind nh3 also in the characters of one text that begin
as a no-break space does. What goes further than any real mail is shown as text instead of being handed to it. The
estimate follows the scopes and the list of active formatting elements of the HTML standard (13.2.4.2, 13.2.4.3) where
they matter.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

MAX_NESTING = 2_000
MAX_STEPS, STEPS_A_TAG = 50_000, 20  # of the estimate itself, so that it is linear
MAX_REOPENED = 10_000_000  # formatting elements opened again behind the block they began in, times the depth there
FEW_TAGS = 300  # cannot go beyond the limits above: at most half of them, opened again behind each of the other half
MAX_ATTRIBUTES = 1_000  # of one tag
MAX_SIGNS = 100_000  # U+0080 to U+00BF, which begin with the same octet as a no-break space, and entities
ALIKE = 3  # so many equal formatting elements are opened again (the standard's Noah's Ark clause),
LOOK_BACK = 15  # looked for among so many of the last ones

_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})")
# A start tag and its attributes as a tokenizer takes them (13.2.5.32 and following).
_ATTRIBUTE = re.compile(r"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]*+))?+""")
_ATTRIBUTES = re.compile(rf"<[A-Za-z][^\s/>]*+((?:{_ATTRIBUTE.pattern})*+)")
_SIGN = re.compile("[\x80-\xbf&]")
# Elements without content, and those whose end is implied by the next of their kind.
_FLAT = frozenset(
    {
        "area", "base", "basefont", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
        "track", "wbr", "p", "li", "dd", "dt", "option", "tr", "thead", "tbody", "tfoot", "html", "head", "body",
    }
)  # fmt: skip
_SCOPES = frozenset({"table", "td", "th", "caption", "object", "applet", "marquee", "template", "svg", "math"})
_CELLS = frozenset({"td", "th"})
_FORMATTING = frozenset(
    {"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
)


@dataclass(eq=False)
class _Formatting:
    """An entry of the list of active formatting elements; not `open`: it was closed with its block and comes back."""

    name: str
    attributes: str
    open: bool = True


class _Stack:
    """The elements that are open, and the list of active formatting elements, as far as they matter."""

    def __init__(self) -> None:
        self.open_now: list[tuple[str, _Formatting | None]] = []
        self.opened: Counter[str] = Counter()  # how many of each name the stack holds
        self.active: list[_Formatting | None] = []  # None: a marker; what stands before it does not come back yet
        self.tags = self.steps = 0
        self.reopened = 0

    @property
    def tangled(self) -> bool:
        steps = self.steps - STEPS_A_TAG * self.tags
        return len(self.open_now) > MAX_NESTING or steps > MAX_STEPS or self.reopened > MAX_REOPENED

    def open(self, name: str) -> None:
        if name in _CELLS:
            self._end_cell()
        if name in _SCOPES:
            self.active.append(None)
        self._push(name)

    def format(self, name: str, attributes: str) -> None:
        """Open a formatting element; of equal ones only the last few stay active."""
        last = islice(self._reachable(), LOOK_BACK)
        alike = [one for one in last if (one.name, one.attributes) == (name, attributes)]
        if len(alike) >= ALIKE:
            self.active.remove(alike[-1])
        one = _Formatting(name, attributes)
        self.active.append(one)
        self._push(name, one)

    def reopen(self) -> None:
        """Text comes, or an element inside a line: what was closed with its block is opened again."""
        closed = []
        for one in self._reachable():
            if one.open:
                break
            closed.append(one)
        for one in reversed(closed):
            one.open = True
            self._push(one.name, one)
            self.reopened += len(self.open_now)

    def _reachable(self) -> Iterator[_Formatting]:
        """Active formatting elements behind the last marker, the last one first."""
        for one in reversed(self.active):
            self.steps += 1
            if one is None:
                return
            yield one

    def close(self, name: str) -> None:
        position = self._position(name) if self.opened[name] else -1
        if position >= 0:
            self._cut(position)
        if name in _FORMATTING:
            self._forget(name)

    def _push(self, name: str, formatting: _Formatting | None = None) -> None:
        self.open_now.append((name, formatting))
        self.opened[name] += 1

    def _position(self, name: str) -> int:
        """Where the innermost element of this name that an end tag can reach is open, or -1."""
        for position in range(len(self.open_now) - 1, -1, -1):
            self.steps += 1
            other = self.open_now[position][0]
            if other == name:
                return position
            if other in _SCOPES and name not in _SCOPES:
                break
        return -1

    def _end_cell(self) -> None:
        """The next cell ends the one before."""
        for position in range(len(self.open_now) - 1, -1, -1):
            self.steps += 1
            other = self.open_now[position][0]
            if other in _CELLS:
                self._cut(position)
            if other in _SCOPES:
                return

    def _cut(self, position: int) -> None:
        """Close what is open from here on. Scopes take the formatting elements inside them along."""
        for name, formatting in reversed(self.open_now[position:]):
            self.opened[name] -= 1
            if formatting is not None:
                formatting.open = False
            if name in _SCOPES:
                while self.active and self.active.pop() is not None:
                    self.steps += 1
        del self.open_now[position:]

    def _forget(self, name: str) -> None:
        """The end tag of a formatting element takes its last active one off the list."""
        for one in self._reachable():
            if one.name == name:
                self.active.remove(one)
                return


def too_deep(html: str) -> bool:
    """Whether tags nest deeper than MAX_NESTING, or are tangled so that a parser would take too long."""
    if _many_attributes(html) or len(_SIGN.findall(html)) > MAX_SIGNS:
        return True
    if html.count("<") <= FEW_TAGS:
        return False
    stack = _Stack()
    end = 0  # of the tag before
    for match in _TAG.finditer(html):
        if match.start() > end:
            stack.reopen()
        end = html.find(">", match.end()) + 1
        _take(stack, match[2].lower(), html[match.end() : end][:100], closing=bool(match[1]))
        if stack.tangled:
            return True
    return False


def _take(stack: _Stack, name: str, attributes: str, *, closing: bool) -> None:
    stack.tags += 1
    if name in _FLAT:
        return
    if closing:
        stack.close(name)
    elif name in _FORMATTING:
        stack.reopen()
        stack.format(name, attributes)
    else:
        stack.open(name)


def _many_attributes(html: str) -> bool:
    return any(
        len(match[1]) > MAX_ATTRIBUTES and len(_ATTRIBUTE.findall(match[1])) > MAX_ATTRIBUTES
        for match in _ATTRIBUTES.finditer(html)
    )
