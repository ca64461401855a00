"""The DATA scanner against a reader of lines that takes the RFC word by word."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spool.smtpd.scanner import DataScanner, Problem

pytestmark = pytest.mark.pure

PIECES = st.sampled_from(
    [b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\r\n..\r\n", b".", b"\r", b"\n", b"\0", b"a", b"text", b".\r\n"]
)
STREAMS = st.lists(PIECES, max_size=25).map(b"".join)


def reference(stream: bytes) -> tuple[bytes, bytes] | None:
    """(message, rest) by RFC 5321 sections 4.1.1.4 and 4.5.2, line by line; None if the end has not come."""
    lines: list[bytes] = []
    while b"\r\n" in stream:
        line, stream = stream.split(b"\r\n", 1)
        if line == b".":
            return b"".join(lines), stream
        lines.append((line[1:] if line.startswith(b".") else line) + b"\r\n")
    return None


def scan(chunks: list[bytes], *, size: int = 10_000, line: int = 5_000) -> tuple[DataScanner, bytes | None]:
    scanner = DataScanner(size_limit=size, line_limit=line)
    for number, chunk in enumerate(chunks):
        rest = scanner.feed(chunk)
        if rest is not None:
            return scanner, rest + b"".join(chunks[number + 1 :])
    return scanner, None


@settings(max_examples=1500, deadline=None)
@given(STREAMS, st.lists(st.integers(1, 7), max_size=60))
def test_any_splitting_gives_what_the_line_reader_gives(stream: bytes, sizes: list[int]) -> None:
    chunks, position = [], 0
    for size in sizes:
        chunks.append(stream[position : position + size])
        position += size
    chunks.append(stream[position:])
    scanner, rest = scan([chunk for chunk in chunks if chunk])
    expected = reference(stream)
    if expected is None:
        assert rest is None
        return
    message, after = expected
    assert rest == after
    raw = scanner.content()
    bare = message.replace(b"\r\n", b"")
    if b"\r" in bare or b"\n" in bare or b"\0" in bare:
        assert (raw, scanner.problem) == (b"", Problem.BARE)
    else:
        assert (raw, scanner.problem) == (message, None)


def test_the_size_limit_counts_what_is_kept() -> None:
    dots = b"..\r\n" * 100  # 300 octets once unstuffed
    scanner, _rest = scan([dots + b".\r\n"], size=300)
    assert (len(scanner.content()), scanner.problem) == (300, None)
    scanner, rest = scan([dots + b"x\r\n", b".\r\nQUIT"], size=300)
    assert (scanner.content(), scanner.problem, rest) == (b"", Problem.SIZE, b"QUIT")


def test_memory_stays_bounded_while_a_flood_is_drained() -> None:
    scanner = DataScanner(size_limit=10_000, line_limit=1_000)
    most = 0
    while not scanner.overrun:
        assert scanner.feed(b"text without end\r\n" * 20) is None
        most = max(most, scanner.buffered)
    assert most <= 10_000 * 4 // 3 + 5 + 360
    assert scanner.received <= 20_000 + 360


def test_a_line_without_end_is_not_buffered() -> None:
    scanner = DataScanner(size_limit=10_000_000, line_limit=1_000)
    for _ in range(100):
        scanner.feed(b"x" * 500)
        assert scanner.buffered <= 1_500
    assert scanner.feed(b"\r\n.\r\nNOOP") == b"NOOP"
    assert (scanner.content(), scanner.problem) == (b"", Problem.LINE)


def test_a_long_line_inside_a_chunk_is_found() -> None:
    for length, problem in ((1_000, None), (1_001, Problem.LINE)):
        scanner, _rest = scan([b"a\r\n" + b"x" * length + b"\r\nb\r\n.\r\n"], line=1_000)
        scanner.content()
        assert scanner.problem is problem


@pytest.mark.parametrize("cut", range(1, 16))
def test_a_line_of_just_the_limit_is_taken_wherever_it_is_cut(cut: int) -> None:
    stream = b"..23456789\r\n.\r\n"  # nine octets, stuffed
    scanner, _rest = scan([stream[:cut], stream[cut:]], line=9)
    assert (scanner.content(), scanner.problem) == (b".23456789\r\n", None)
