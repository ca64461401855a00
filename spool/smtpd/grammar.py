"""MAIL and RCPT read strictly (RFC 5321 section 4.1.2): a fast path for plain ones, a full one for the rest. Pure.

aiosmtpd's own address reader drops source routes and takes NUL and 8-bit octets; what is not understood here is
refused, never repaired.
"""

import re
from typing import NamedTuple

from spool.queue.addresses import AddressError, parse_address
from spool.smtpd import replies
from spool.smtpd.replies import Reply

_ATOMS = rb"[\w+\-=]+(?:\.[\w+\-=]+)*"
_NAME = rb"[a-z0-9](?:[a-z0-9\-.]*[a-z0-9])?"
_FAST_MAIL = re.compile(
    rb"FROM:<("
    + _ATOMS
    + rb"@"
    + _NAME
    + rb")?>(?: BODY=(7BIT|8BITMIME))?(?: SIZE=(\d{1,18}))?(?: BODY=(7BIT|8BITMIME))?",
    re.I | re.A,
)
_FAST_RCPT = re.compile(rb"TO:<([\w+\-=.][\w+\-=.@]*)>", re.I | re.A)
_PATH = re.compile(rb'\s*+<((?:"(?:[^"\\]|\\.)*+"|[^<>"])*+)>', re.S)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")
_LITERAL = re.compile(r"(.+)@\[[0-9A-Za-z:.\-]{1,100}\]", re.S)
PATH_LENGTH = 256  # octets, RFC 5321 section 4.5.3.1.3, without brackets


class Refused(Exception):  # noqa: N818 - carries the reply
    """The command gets this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Mail(NamedTuple):
    """A MAIL command. `reverse_path` is empty for the null sender."""

    reverse_path: str
    size: int = 0
    body_8bit: bool = False
    smtputf8: bool = False


def read_mail(argument: bytes) -> Mail:
    """The argument of MAIL. Raises Refused."""
    fast = _FAST_MAIL.fullmatch(argument)
    if fast and len(fast[1] or b"") <= PATH_LENGTH and b".." not in (fast[1] or b""):
        body = (fast[2] or fast[4] or b"").upper()
        return Mail((fast[1] or b"").decode("ascii"), int(fast[3] or 0), body_8bit=body == b"8BITMIME")
    path, parameters = _split(argument, b"FROM:")
    mail = _parameters(parameters)
    return Mail(_reverse_path(path, smtputf8=mail.smtputf8), mail.size, mail.body_8bit, mail.smtputf8)


def read_rcpt(argument: bytes, *, smtputf8: bool) -> str:
    """The forward-path of RCPT, as text without brackets; who it is, the policy says. Raises Refused."""
    fast = _FAST_RCPT.fullmatch(argument)
    if fast and len(fast[1]) <= PATH_LENGTH:
        return fast[1].decode("ascii")
    path, parameters = _split(argument, b"TO:")
    if parameters:
        raise Refused(replies.BAD_PARAMETER)
    text = _text(path, replies.BAD_RECIPIENT, smtputf8=smtputf8)
    if text.startswith("@") or (_LITERAL.fullmatch(text) and "\0" not in text):
        raise Refused(replies.FOREIGN)  # a source route or an address literal asks for relaying
    return text


def _split(argument: bytes, keyword: bytes) -> tuple[bytes, str]:
    """The path between the brackets and the text after it. Raises Refused."""
    if argument[: len(keyword)].upper() != keyword:
        raise Refused(replies.BAD_ARGUMENT)
    found = _PATH.match(argument, len(keyword))
    if found is None:
        raise Refused(replies.BAD_ARGUMENT)
    rest = argument[found.end() :]
    if not rest.isascii() or (rest and not rest.startswith(b" ")):
        raise Refused(replies.BAD_ARGUMENT)
    return found[1], rest.decode("ascii").strip(" ")


def _text(path: bytes, bad: Reply, *, smtputf8: bool) -> str:
    if not path.isascii() and not smtputf8:
        raise Refused(replies.NEEDS_SMTPUTF8)
    if len(path) > PATH_LENGTH:
        raise Refused(bad)
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(bad) from error


def _reverse_path(path: bytes, *, smtputf8: bool) -> str:
    text = _text(path, replies.BAD_SENDER, smtputf8=smtputf8)
    if not text:
        return ""
    try:
        literal = _LITERAL.fullmatch(text)
        if literal:
            parse_address(f"{literal[1]}@literal.invalid")
        else:
            parse_address(text)
    except AddressError as error:
        raise Refused(replies.BAD_SENDER) from error
    return text


def _parameters(text: str) -> Mail:
    """SIZE, BODY and SMTPUTF8, each at most once (RFC 1870, 6152, 6531). Raises Refused."""
    seen: dict[str, str | None] = {}
    for word in text.split():
        found = _PARAMETER.fullmatch(word)
        if found is None or found[1].upper() in seen:
            raise Refused(replies.BAD_ARGUMENT)
        seen[found[1].upper()] = found[2]
    if seen.keys() - {"SIZE", "BODY", "SMTPUTF8"}:
        raise Refused(replies.BAD_PARAMETER)
    size, body = seen.get("SIZE", "0") or "", (seen.get("BODY", "7BIT") or "").upper()
    if not (size.isdigit() and len(size) <= 20) or body not in {"7BIT", "8BITMIME"} or seen.get("SMTPUTF8") is not None:
        raise Refused(replies.BAD_ARGUMENT)
    return Mail("", int(size), body == "8BITMIME", "SMTPUTF8" in seen)
