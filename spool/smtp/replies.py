"""SMTP replies as a client reads them (RFC 5321 section 4.2, RFC 3463): every reply named once, judged once.

Pure: no socket, no database, no Django. `Phase` and `Outcome` hold the same words as spool.enums, which a
client may not import because it is made of Django choices; a test holds the two together.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_TEXT = 512
ENHANCED = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")
# C0, DEL, C1, line separators, bidirectional controls: nothing a stranger says may steer a terminal or a page.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

OK = 250
READY = 220
GO_AHEAD = 354
AUTHENTICATED = 235
CONTINUE_AUTH = 334
SHUTTING_DOWN = 421
TOO_MANY_RECIPIENTS = 452
# 5xx that speak of the session or of how we are set up, never of this recipient: our fault, so they pass.
SESSION_TROUBLE = frozenset({500, 502, 503, 530, 534, 535, 538})
# RFC 5321 section 4.5.3.1.10: 552 at RCPT is an old way to say 452; a full mailbox may empty.
PASSING_AT_RCPT = frozenset({552})


class Phase(StrEnum):
    """How far a transaction came; the words of spool.enums.Phase."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class Outcome(StrEnum):
    """What became of one recipient; the words of spool.enums.Outcome."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True)
class Reply:
    """One reply, its lines joined by a space and made harmless."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), or empty."""
        found = ENHANCED.match(self.text)
        return found[1] if found else ""

    @property
    def good(self) -> bool:
        return 200 <= self.code < 300


class ReplySyntaxError(Exception):
    """What came is not an SMTP reply."""


def harmless(text: str) -> str:
    """`text` cut to 512 characters with control characters written as \\uXXXX."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)[:MAX_TEXT]


def parse_line(line: bytes) -> tuple[int, bool, str]:
    """Code, whether it is the last line, and text of one reply line without its CRLF. Raises ReplySyntaxError."""
    head, separator, rest = line[:3], line[3:4], line[4:]
    if not (head.isdigit() and len(head) == 3 and 200 <= int(head) <= 599 and separator in (b"", b" ", b"-")):
        raise ReplySyntaxError(harmless(line[:80].decode("utf-8", "replace")))
    return int(head), separator != b"-", rest.decode("utf-8", "replace")


def judge(code: int, phase: Phase) -> Outcome:
    """What a refusal with `code` at `phase` means for a recipient (RFC 5321 section 4.2.1).

    Only a 5xx to MAIL, RCPT, DATA or the final dot that speaks of this mail is permanent; a host that refuses
    the whole session (greeting, EHLO, STARTTLS, AUTH) is a host in trouble, whatever its code says. After the final
    dot every 5xx is a word on this mail: servers say 500 to a line that is too long for them.
    """
    if phase not in (Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT):
        return Outcome.TRANSIENT
    if not 500 <= code < 600 or (code in SESSION_TROUBLE and phase is not Phase.DOT):
        return Outcome.TRANSIENT
    if phase is Phase.RCPT and code in PASSING_AT_RCPT:
        return Outcome.TRANSIENT
    return Outcome.PERMANENT
