"""The end of DATA found in large chunks, without looking at lines (RFC 5321 section 4.1.1.4). Pure.

Only CR LF . CR LF ends the data. Content with a bare CR, a bare LF or NUL is read to that true end, so that the
session stays in step, and then refused: such octets are how mail is smuggled (CVE-2023-51764 and its kin).
Memory is bounded by the size limit; a line that does not end stops the buffering early.
"""

import re
from enum import Enum
from io import IncrementalNewlineDecoder

END = b"\r\n.\r\n"
CRLF = b"\r\n"
DOT = b"\r\n."  # begins the end and every stuffed line; most mail has it once, so that one search does for both
_DOT = re.compile(re.escape(DOT))  # twice as fast as bytes.find here
WINDOW = 4096  # octets looked at behind a dot, before the next one is looked for


class Problem(Enum):
    """Why the content cannot be taken."""

    SIZE = "size"
    LINE = "line"
    BARE = "bare"
    MEMORY = "memory"


class DataScanner:
    """Feed it what follows the 354 reply until `feed` returns the octets that came after the end."""

    def __init__(self, *, size_limit: int, line_limit: int) -> None:
        self.size_limit = size_limit
        self.line_limit = line_limit
        self.received = 0  # octets of data so far, dots and end included
        self.buffered = 0  # octets held in memory
        self.problem: Problem | None = None
        self._chunks: list[bytes] = []
        self._tail = CRLF  # the last four octets; the line end of DATA itself: the first line may be the end
        self._dots = False  # a line that begins with a dot may have come
        self._line = 0  # octets since the last CR LF

    @property
    def overrun(self) -> bool:
        """More than twice the limit came without an end: not worth reading on."""
        return self.received > 2 * self.size_limit

    def feed(self, chunk: bytes) -> bytes | None:
        """Take a chunk. None: the end has not come; else what followed the end (often empty)."""
        edge = self._tail + chunk[:4]
        found = edge.find(END)
        if found >= 0:
            stop = found + len(END) - len(self._tail)
        else:
            first = _first_dot(chunk)
            found = chunk.find(END, first) if first >= 0 else -1
            stop = found + len(END) if found >= 0 else -1
            self._dots = self._dots or first != found or DOT in edge
        if stop < 0:
            self._keep(chunk)
            return None
        self._keep(chunk[:stop])
        return chunk[stop:]

    def _keep(self, chunk: bytes) -> None:
        self.received += len(chunk)
        last = chunk.rfind(CRLF)
        if last >= 0:
            self._line = len(chunk) - last - 2
        elif self._tail.endswith(b"\r") and chunk.startswith(b"\n"):
            self._line = len(chunk) - 1
        else:
            self._line += len(chunk)
        self._tail = (self._tail + chunk)[-4:] if len(chunk) < 4 else chunk[-4:]
        if self.problem is not None:
            return
        self._chunks.append(chunk)
        self.buffered += len(chunk)
        # Dot-stuffing lengthens a message by a third at most (lines of one dot), so this bounds memory exactly.
        if self.buffered > self.size_limit * 4 // 3 + len(END):
            self.drop(Problem.SIZE)
        elif self._line > self.line_limit + 2:  # a stuffed dot and a CR whose LF is still to come are not of the line
            self.drop(Problem.LINE)

    def drop(self, problem: Problem) -> None:
        """Keep nothing more; read on to the end only to stay in step."""
        self.problem = problem
        self.buffered = 0
        self._chunks.clear()

    def content(self) -> bytes:
        """The message after the end was found, dots unstuffed; empty if `problem` is set (also by this call)."""
        if self.problem is not None:
            return b""
        raw = self._joined()
        if self._dots:
            # Each line's first dot goes, whatever follows (RFC 5321 section 4.5.2).
            raw = raw.replace(DOT, CRLF)
            raw = raw[1:] if raw.startswith(b".") else raw
        if len(raw) > self.size_limit:
            self.drop(Problem.SIZE)
        elif not _clean(raw):
            self.drop(Problem.BARE)
        elif _longest_over(raw, self.line_limit):
            self.drop(Problem.LINE)
        else:
            return raw
        return b""

    def _joined(self) -> bytes:
        """What came before the end mark; large mail is copied once."""
        mark = len(b".\r\n")
        if len(self._chunks[-1]) < mark:  # the mark itself came in pieces
            return b"".join(self._chunks)[:-mark]
        self._chunks[-1] = self._chunks[-1][:-mark]
        return b"".join(self._chunks)


def _first_dot(chunk: bytes) -> int:
    """Where the first line end before a dot is; -1: nowhere.

    Between the header block and the end base64 has no dot, and one octet is found ten times as fast as three.
    """
    begin, window = 0, WINDOW
    while (dot := chunk.find(b".", begin)) >= 0:
        begin = dot + window
        if match := _DOT.search(chunk, max(0, dot - len(CRLF)), begin):
            return match.start()
        window *= 2
    return -1


def _clean(raw: bytes) -> bool:
    """Neither bare CR nor bare LF nor NUL. Python's own newline decoder looks four times as fast as counts do."""
    decoder = IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(raw.decode("latin-1"), final=True)
    return decoder.newlines in (None, "\r\n") and b"\0" not in raw


def _longest_over(raw: bytes, limit: int) -> bool:
    """Whether a line of `raw` (without its CR LF) is longer than `limit`; looks at few octets of a long message."""
    position = 0
    while len(raw) - position > limit:
        end = raw.rfind(CRLF, position, position + limit + 2)
        if end < 0:
            return True
        position = end + 2
    return False
