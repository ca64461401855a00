"""A linear, tolerant reader of address lists (RFC 5322 section 3.4) for display. Pure.

Never use it for a decision about who may do what: it shows what the header says, however odd, and prefers to
show an address over hiding one. Comments, quoted strings, groups, source routes and encoded words are read;
nothing recurses and each octet is looked at once.
"""

import re
from dataclasses import dataclass

from spool.mime.words import clean, decode_words

MAX_ADDRESSES = 500
MAX_NAME = 255
MAX_ADDRESS = 320

_SPECIAL = re.compile(r'["(),:;<]')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)', re.S)
_IN_COMMENT = re.compile(r"[()\\]")
_IN_ANGLE = re.compile(r'[">]')
_ESCAPE = re.compile(r"\\(.)", re.S)
_HIDDEN = re.compile('("(?:[^"\\\\]|\\\\.)*+")|[\\s\u200c\u200d]+')  # a quoted local part keeps its spaces


@dataclass(frozen=True)
class MailAddress:
    """A display name and an addr-spec, both cleaned for display; either may be empty."""

    name: str
    address: str


class _Reader:
    """One pass over a list; the parts of the address being read."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0
        self.found: list[MailAddress] = []
        self._reset()

    def _reset(self) -> None:
        self.phrase: list[str] = []
        self.bare: list[str] = []  # the phrase as an addr-spec: quotes kept, comments out
        self.comment = ""
        self.angle: str | None = None

    def _add(self, text: str, bare: str | None = None) -> None:
        self.phrase.append(text)
        self.bare.append(text if bare is None else bare)

    def quoted(self) -> None:
        match = _QUOTED.match(self.text, self.position)
        if match is None:  # cannot happen: the expression accepts an open end
            self.position = len(self.text)
            return
        self._add(_ESCAPE.sub(r"\1", match[1]), match[0])
        self.position = match.end()

    def skip_comment(self) -> None:
        start, depth = self.position + 1, 0
        while True:
            match = _IN_COMMENT.search(self.text, self.position)
            if match is None:
                self.position = end = len(self.text)
                break
            self.position = match.end() + (match[0] == "\\")
            depth += {"(": 1, ")": -1}.get(match[0], 0)
            if depth == 0:
                end = match.start()
                break
        self.comment = self.comment or self.text[start:end]

    def read_angle(self) -> None:
        start = self.position + 1
        self.position = start
        while match := _IN_ANGLE.search(self.text, self.position):
            if match[0] == ">":
                self.position = match.end()
                self.angle = self.angle or self.text[start : match.start()]
                return
            quoted = _QUOTED.match(self.text, match.start())
            self.position = quoted.end() if quoted else len(self.text)
        self.angle, self.position = self.angle or self.text[start:], len(self.text)

    def flush(self) -> None:
        bare = "".join(self.bare)
        if self.angle is not None:
            name, address = "".join(self.phrase), self.angle
            if address.lstrip().startswith("@"):  # RFC 5322 section 4.4: obs-route
                address = address.rpartition(":")[2]
        elif "@" in bare:
            name, address = self.comment, bare
        else:
            name, address = bare or self.comment, ""
        name = clean(decode_words(_ESCAPE.sub(r"\1", name) if name is self.comment else name))[:MAX_NAME].strip()
        address = _HIDDEN.sub(lambda match: match[1] or "", clean(address[: MAX_ADDRESS * 3]))[:MAX_ADDRESS]
        if name or address:
            self.found.append(MailAddress(name, address))
        self._reset()

    def run(self) -> tuple[MailAddress, ...]:
        while len(self.found) < MAX_ADDRESSES:
            match = _SPECIAL.search(self.text, self.position)
            if match is None:
                self._add(self.text[self.position :])
                self.flush()
                break
            self._add(self.text[self.position : match.start()])
            self.position = match.start()
            self._special(match[0])
        return tuple(self.found[:MAX_ADDRESSES])

    def _special(self, character: str) -> None:
        if character == '"':
            self.quoted()
        elif character == "(":
            self.skip_comment()
        elif character == "<":
            self.read_angle()
        elif character == ":":  # the name of a group ends: its members follow
            self.position += 1
            self._reset()
        else:
            self.position += 1
            self.flush()


def parse_list(value: str) -> tuple[MailAddress, ...]:
    """At most MAX_ADDRESSES addresses of an unfolded header value. Never raises; linear in its length."""
    return _Reader(value).run()
