"""The short form of every fuzz target, and proof that each oracle sees a fault planted for it."""

import logging
import re
from collections.abc import Callable

import nh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spool.mime import parsed, sanitize, words
from spool.queue import recipients, searchindex
from spool.queue.ingest import Recipient
from spool.smtp import wire
from spool.smtpd import connection, grammar, replies, scanner
from spool.smtpd.connection import Connection
from spool.smtpd.policy import Verdict
from spool.smtpd.proxied import Proxied
from tests.fuzz import growth
from tests.fuzz.commands import GOOD
from tests.fuzz.registry import TARGETS
from tests.fuzz.shrink import shrink, smallest
from tests.fuzz.target import Fault, Target, attempt, chunks

pytestmark = pytest.mark.pure

EXAMPLES = {"growth": 15, "mime": 60, "html": 60, "headers": 80}
OTHERS = 120
NEVER = re.compile(r"(?!)")


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Tokens and octets, half of the time behind the beginning of a seed."""
    pieces = st.lists(st.sampled_from(target.tokens) | st.binary(max_size=4), max_size=25).map(b"".join)
    begin = st.sampled_from(target.seeds()[:40]).flatmap(
        lambda seed: st.integers(0, len(seed)).map(lambda at: seed[:at])
    )
    return st.one_of(pieces, st.tuples(begin, pieces).map(b"".join)).map(lambda data: data[: target.longest])


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_promise(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=EXAMPLES.get(name, OTHERS), deadline=None)
    @given(inputs(target))
    def tried(data: bytes) -> None:
        attempt(target, data, slower=5)

    tried()


def _lost(*_arguments: object, **_options: object) -> None:
    raise KeyError("planted")


def _taken(_view: object, path: str, *_rest: object, **_options: object) -> Verdict:
    return Verdict(replies.RECIPIENT_OK, Recipient(path, 1))


def _slow_growth(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(words, "_JOINER", re.compile("\u200d*\u200d*\u200dx"))  # takes the cube
    patch.setattr(growth, "SIZES", (800,) * 4)
    patch.setattr(growth, "NOTICEABLE", 0.02)


# target: (how the code is broken, an input that meets it)
PLANTED: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], bytes]] = {
    "commands": (
        lambda patch: patch.setattr(connection, "decide", _taken),
        b"\0\0" + GOOD.replace(b"example", b"foreign"),
    ),
    "stream": (lambda patch: patch.setattr(Connection, "_other", _lost), b"\0\0NOOP\r\n"),
    "grammar": (lambda patch: patch.setattr(grammar, "parse_address", str), "FROM:<a\u202e@b.test> SMTPUTF8".encode()),
    "scanner": (lambda patch: patch.setattr(scanner, "_clean", bool), b"\0\0a\nb\r\n.\r\n"),
    "mime": (lambda patch: patch.setattr(parsed, "clean", str), "\r\na\u202eb".encode()),
    "headers": (lambda patch: patch.setattr(words, "_UNSEEN", NEVER), b"=?utf-8?q?=00?="),
    "html": (
        lambda patch: patch.setattr(sanitize, "_CLEANER", nh3.Cleaner(attributes={"p": {"onclick"}})),
        b"<p onclick=x>y",
    ),
    "proxy": (lambda patch: patch.setattr(Proxied, "_refuse", lambda _self, _reason: None), b"\0no header"),
    "replies": (lambda patch: patch.setattr(wire, "harmless", str), b"220 \x1b[31m\r\n"),
    "search": (lambda patch: patch.setattr(searchindex, "_TERMS", {"or": "or"}), b"OR"),
    "compose": (lambda patch: patch.setattr(recipients, "CONTROL", NEVER), b'"a\x7f" <b@outside.test>'),
    "growth": (_slow_growth, b"\3\x12\0" + "é\u200dé".encode()),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_each_oracle_sees_a_planted_fault(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, data = PLANTED[name]
    attempt(TARGETS[name], data)
    plant(monkeypatch)
    with pytest.raises(Fault):
        attempt(TARGETS[name], data)


def test_a_fault_is_shrunk_to_what_causes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert smallest(b"aaxbbbyccc", lambda data: b"x" in data and b"y" in data) == b"xy"
    monkeypatch.setattr(scanner, "_clean", bool)
    least, error = shrink(TARGETS["scanner"], b"\0\0some text\r\nwith a\nbare line feed\r\n.\r\nand more")
    assert least[2:] == b"\n\r\n.\r\n"  # behind the octets that choose limits and pieces
    assert isinstance(error, Fault)


@given(st.binary(max_size=100), st.integers(0, 255))
def test_pieces_are_the_whole(data: bytes, seed: int) -> None:
    pieces = chunks(data, seed)
    assert b"".join(pieces) == data
    assert all(pieces)


@pytest.mark.parametrize("name", ["commands", "stream", "proxy"])
def test_a_fuzzer_leaves_the_servers_log_as_it_was(name: str) -> None:
    logger = logging.getLogger("spool.smtpd")
    before = logger.level, logger.propagate, list(logger.handlers)
    attempt(TARGETS[name], TARGETS[name].seeds()[0], slower=5)
    assert (logger.level, logger.propagate, logger.handlers) == before
