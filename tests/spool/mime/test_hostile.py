"""Mail built to hurt (C14-C19, M8, M9): read within the limits of a reading process, in time linear in its size."""

import time
from collections.abc import Callable, Iterator

import pytest

from spool.mime import notes
from spool.mime.headers import scan
from spool.mime.nesting import MAX_ATTRIBUTES, MAX_NESTING, MAX_SIGNS, too_deep
from spool.mime.parse import parse
from spool.mime.plain import to_html
from spool.mime.spoof import misleading_links
from spool.mime.walk import MAX_DEPTH, MAX_PARTS, walk
from spool.mime.words import decode_words
from spool.queue.parsepool import ParsePool
from tests.spool.mime import hostile

pytestmark = pytest.mark.pure

SECONDS = 10  # of wall time: the slowest needs 1.4 s of CPU, and other tests run beside it


@pytest.fixture(scope="module")
def pool() -> Iterator[ParsePool]:
    made = ParsePool(1, seconds=SECONDS)
    yield made
    made.stop()


@pytest.mark.parametrize("name", hostile.mails())
def test_hostile_mail_is_read_and_shown_within_the_limits(name: str, pool: ParsePool) -> None:
    raw = hostile.mails()[name]
    assert pool.run("parse", raw).body.startswith(b"{")
    assert pool.run("page", raw).body.startswith(b"<!doctype html>")
    scan(raw)


def test_caps_hold() -> None:
    deep = walk(hostile.nested(10_000))
    assert max(node.depth for node in deep.nodes) == MAX_DEPTH
    assert notes.DEPTH_CUT in deep.notes
    many = walk(hostile.parts(100_000))
    assert len(many.nodes) == MAX_PARTS
    assert notes.PARTS_CUT in many.notes
    assert len(parse(hostile.parts(5_000)).parts) == MAX_PARTS - 1


def test_deep_html_is_recognised() -> None:
    assert too_deep("<div>" * (MAX_NESTING + 1))
    assert too_deep("<div><table><tr><td></div></td></tr></table>" * 5_000)  # the inner end tag closes nothing
    assert not too_deep("<div><p>x</div><br><li>x<span></span>" * 50_000)
    assert not too_deep("<table><tr><td>a<td>b</table>" * 50_000)


def test_tangled_html_is_recognised_and_untidy_html_is_not() -> None:
    assert too_deep(hostile.reopened(300).decode())
    assert too_deep("<p " + " ".join(f"a{n}='>'" for n in range(MAX_ATTRIBUTES + 1)) + ">")
    assert too_deep("<p" + "".join(f"/a{n}" for n in range(MAX_ATTRIBUTES + 1)))
    assert not too_deep("<p " + " ".join(f"a{n}='b c d e'" for n in range(MAX_ATTRIBUTES)) + ">" + " word" * 100_000)
    assert too_deep("<p title='" + "\xa9&nbsp;" * (MAX_SIGNS // 2) + "&")
    assert not too_deep("<td>\xa9&nbsp;</td>" * (MAX_SIGNS // 2))
    assert not too_deep("<div><font size=2><b>never closed</div>" * 5_000)
    assert not too_deep("<table><tr><td><font color=red>a<td><b>b<td>c</tr></table>" * 5_000)
    assert not too_deep("<table>" + "<tr><td><font color=red>a<td><b>b" * 5_000)
    assert not too_deep("<a href=x><b>a</a></b> <i>b</i>" * 10_000)


GROWING: dict[str, Callable[[int], Callable[[], object]]] = {
    "nested multiparts": lambda n: lambda: parse(hostile.nested(n * 400)),
    "parts": lambda n: lambda: parse(hostile.parts(n * 200)),
    "addresses": lambda n: lambda: scan(b"From: " + b"a <a@x>, " * (n * 500)),
    "brackets": lambda n: lambda: scan(b"From: " + b"(" * (n * 5_000)),
    "angles": lambda n: lambda: scan(b'From: <"' + b"<" * (n * 5_000)),
    "escaped quotes": lambda n: lambda: scan(b"From: " + b'\\"' * (n * 2_500)),
    "joiners": lambda n: lambda: scan("Subject: é".encode() + b"\xe2\x80\x8d" * (n * 1_000) + "é".encode()),
    "encoded words": lambda n: lambda: decode_words("=?utf-8?q?=41?= " * (n * 2_000)),
    "half encoded words": lambda n: lambda: decode_words("=?utf-8?q?" * (n * 5_000)),
    "parameters": lambda n: lambda: parse(b"Content-Type: a/b" + b"; p=v" * (n * 1_000) + b"\r\n\r\n"),
    "hyphens": lambda n: (
        lambda: parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + b"\n--x" * (n * 9_000))
    ),
    "links": lambda n: lambda: to_html("http://" * (n * 1_000)),
    "words with at": lambda n: lambda: to_html("a@" * (n * 4_000)),
    "long words": lambda n: lambda: to_html("a.b-" * (n * 5_000) + "@"),
    "quotes": lambda n: lambda: to_html(">>>\n\n" * (n * 2_000)),
    "open tags": lambda n: lambda: too_deep("<div></p></x>" * (n * 150)),
    "half links": lambda n: lambda: misleading_links("<a href=http://x " * (n * 800)),
    "open links": lambda n: lambda: misleading_links("<a href=http://x.test>" * (n * 800)),
    "attributes": lambda n: lambda: too_deep("<a <a <a <a>" * (n * 2_000) + "<p " + "<a " * (n * 2_000)),
    "different formatting": lambda n: lambda: too_deep("".join(f"<b title={k}>" for k in range(n * 200))),
    "open quotes": lambda n: lambda: too_deep("<p a=\"x b='" + " a='x" * (n * 2_000) + "'" + ' a="x' * (n * 2_001)),
    "signs": lambda n: lambda: parse(b"Content-Type: text/html; charset=latin-1\r\n\r\n" + b"\xa9" * (n * 30_000)),
    "less-than": lambda n: lambda: parse(b"Content-Type: text/html\r\n\r\n" + b"<" * (n * 4_000)),
}


def seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("name", GROWING)
def test_twice_the_input_costs_at_most_two_and_a_half_times(name: str) -> None:
    ratio = 0.0
    for _ in range(3):  # a busy machine may disturb one measurement, not three
        small, large = seconds(GROWING[name](4)), seconds(GROWING[name](8))
        ratio = large / max(small, 0.000_5)
        if ratio <= 2.5:
            return
    raise AssertionError(f"{name}: {ratio:.2f} times the time for twice the input")
