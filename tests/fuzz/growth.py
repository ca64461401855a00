"""Target `growth`: one or two short patterns repeated; twice the input may not cost much more than twice the time.

Finds what makes a reader quadratic, which short inputs never show. The first octet chooses reader and size, the second
and third say where the patterns are. What looks quadratic is measured again, so that noise is no fault.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from spool.mime import plain, spoof, styles, terms, textual, words
from spool.mime.addresses import parse_list
from spool.mime.headers import scan
from spool.mime.params import parse as parse_parameters
from spool.mime.parse import parse
from spool.mime.sanitize import sanitize
from spool.queue.recipients import MAX_TEXT, split
from spool.smtp.replies import harmless
from spool.smtpd.grammar import Refused, read_mail
from spool.smtpd.loops import looping
from tests.fuzz import mail, markup, typed
from tests.fuzz.rig import HOST, SMALL
from tests.fuzz.target import Target, check

SIZES = (3 * 1024, 10 * 1024, 40 * 1024, 160 * 1024)  # octets: what is quadratic shows at some, limits stop others
NOTICEABLE = 0.5  # seconds of CPU, below which nothing is said: the depth that is let through costs a third of that
QUADRATIC = 3.2  # times the time for twice the input: between linear (2) and quadratic (4)
ROUNDS = 3  # a busy machine may disturb one measurement
NUMBER = b"\x01"  # in a pattern: its number, so that no two are alike


@dataclass(frozen=True)
class Reader:
    """`read` gets the repeated octets; `share` of them that it reads at most."""

    read: Callable[[bytes], object]
    share: float = 1.0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _sender(data: bytes) -> None:
    with suppress(Refused):
        read_mail(b"FROM:<" + data)


READERS = (
    Reader(lambda data: scan(b"Subject: " + data)),
    Reader(lambda data: scan(b"From: " + data)),
    Reader(scan),
    Reader(lambda data: words.clean(_text(data))),
    Reader(lambda data: parse_list(_text(data))),
    Reader(lambda data: parse_parameters(_text(data))),
    Reader(parse),
    Reader(lambda data: parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + data)),
    Reader(lambda data: parse(b"Content-Type: text/html\r\n\r\n" + data)),
    Reader(lambda data: sanitize(_text(data))),
    Reader(lambda data: textual.html_to_text(_text(data))),
    Reader(lambda data: plain.to_html(_text(data))),
    Reader(lambda data: spoof.misleading_links(_text(data))),
    Reader(lambda data: styles.clean_style(_text(data)), share=0.0125),
    Reader(lambda data: terms.terms(_text(data), terms.MAX_BODY)),
    Reader(lambda data: list(split(_text(data))), share=MAX_TEXT / 320_000),
    Reader(lambda data: harmless(_text(data))),
    Reader(lambda data: looping(data, 3, hostname=HOST, limits=SMALL)),
    Reader(_sender, share=0.007),
)


def _seconds(read: Callable[[bytes], object], data: bytes) -> float:
    began = time.process_time()
    read(data)
    return time.process_time() - began


def _repeated(data: bytes, size: int) -> bytes:
    """A beginning, up to three patterns after each other, and an end; the second and third octet say where they are."""
    body = data[3:]
    begin, first = data[1] % 8, 1 + data[1] // 8
    cuts = [begin, begin + first, begin + first + data[2] % 32]
    head, *patterns, tail = (body[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True))
    if data[2] >= 128:
        patterns, tail = [*patterns, tail], b""
    count = size // max(sum(map(len, patterns)), 1)
    return head + b"".join(p.replace(NUMBER, b"%d" % n) for p in patterns for n in range(count * bool(p))) + tail


def _measured(reader: Reader, data: bytes, size: int) -> tuple[float, float]:
    """Seconds for twice `size`, and how many times as long as for `size` that is."""
    small, large = (_seconds(reader.read, _repeated(data, int(n * reader.share))) for n in (size, 2 * size))
    return large, large / max(small, 0.000_1)


def run(data: bytes) -> None:
    if len(data) < 4:
        return
    reader, size = READERS[data[0] % len(READERS)], SIZES[data[0] // len(READERS) % len(SIZES)]
    ratios = []
    for _ in range(ROUNDS):
        seconds, ratio = _measured(reader, data, size)
        if seconds < NOTICEABLE or ratio < QUADRATIC:
            return
        ratios.append(round(ratio, 1))
    check(False, "twice the input takes far more than twice the time", data[0] % len(READERS), size, ratios)


UNITS = (
    b"a", b"<a>", b"\xe2\x80\x8d", b"<a b=c ", b'"', b"(", b"=?a?q?b?=", b"\r\n--b\r\n", b"\r\n ",
    b"<b style=color:red>", b"\xcc\x81", b"a<", b" a\x01", b"<b title=\x01>",
)  # fmt: skip


def seeds() -> list[bytes]:
    """Each reader with the parts of which its inputs are made, in sizes by turns."""
    found = [
        bytes([number + len(READERS) * (turn % len(SIZES)), 2 + 8 * (len(unit) - 1), 0])
        + "é".encode()
        + unit
        + "é".encode()
        for number in range(len(READERS))
        for turn, unit in enumerate(UNITS)
    ]
    return [*found, b"\x09\x20\x8d<div><font size=\x01>x</div>", bytes([9 + 3 * len(READERS), 18, 0]) + b"<p a\x01"]


TOKENS = tuple(dict.fromkeys((*mail.TOKENS, *mail.VALUE_TOKENS, *markup.TOKENS, *typed.COMPOSE_TOKENS)))
TARGETS = (Target("growth", run, seeds, TOKENS, longest=120, seconds=30),)
