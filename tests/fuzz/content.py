"""Target `scanner`: the DATA scanner in any pieces and with small limits, against a reader of lines."""

from spool.smtpd.scanner import END, DataScanner, Problem
from tests.fuzz.target import Target, check, chunks
from tests.spool.smtpd.test_scanner import reference

LIMITS = ((10_000, 5_000), (40, 5_000), (10_000, 8), (30, 10))  # octets of a message, of a line
TOKENS = (
    b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\r\n..\r\n", b".", b"\r", b"\n", b"\0", b"a", b"text", b".\r\n", b"..\r\n",
    b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"x" * 8, b"x" * 9, b"x" * 30,
)  # fmt: skip


def run(data: bytes) -> None:
    size, line = LIMITS[data[0] % len(LIMITS)] if data else LIMITS[0]
    seed, stream = data[1] if len(data) > 1 else 0, data[2:]
    scanner, rest = _scan(chunks(stream, seed), size, line)
    expected = reference(stream)
    if expected is None or rest is None:
        check(expected is None and rest is None, "the end is seen by one alone", stream, seed)
        return
    message, after = expected
    check(rest == after, "what follows the end differs", rest, after)
    raw, wrong = scanner.content(), _wrong(message, size, line)
    if wrong:
        check(raw == b"" and scanner.problem in wrong, "content is taken that breaks a limit", message, scanner.problem)
    else:
        check((raw, scanner.problem) == (message, None), "content differs or is refused", raw, message, scanner.problem)


def _scan(pieces: list[bytes], size: int, line: int) -> tuple[DataScanner, bytes | None]:
    scanner = DataScanner(size_limit=size, line_limit=line)
    for number, piece in enumerate(pieces):
        rest = scanner.feed(piece)
        check(scanner.buffered <= size * 4 // 3 + len(END) + len(piece), "more is kept than may be", scanner.buffered)
        if rest is not None:
            return scanner, rest + b"".join(pieces[number + 1 :])
    return scanner, None


def _wrong(message: bytes, size: int, line: int) -> set[Problem]:
    lone = message.replace(b"\r\n", b"")
    return {
        problem
        for problem, holds in (
            (Problem.BARE, bool({10, 13, 0} & set(lone))),
            (Problem.SIZE, len(message) > size),
            (Problem.LINE, any(len(one) > line for one in message.split(b"\r\n"))),
        )
        if holds
    }


def seeds() -> list[bytes]:
    streams = (
        b"a\r\n.\r\nNOOP\r\n",
        b".\r\n",
        b"..\r\n.a\r\n.\r\n",
        b"a\n.\n\r\n.\r\n",
        b"12345678\r\n.\r\n",
        b"x" * 40 + b"\r\n.\r\n",
    )
    return [bytes([number, 5]) + stream for number in range(len(LIMITS)) for stream in streams]


TARGETS = (Target("scanner", run, seeds, TOKENS, longest=600),)
