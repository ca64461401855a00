"""What the sessions' process and its writer say to each other: frames of a pickled list of messages and their contents.

A frame is its length, the number and lengths of its parts, and the parts: the pickle, then each content, which the
pickle does not copy (PEP 574). Numbers are of four octets.

Pickle can run code, so this is for one place only: the socket pair that `spool.smtpd.writer` makes before its fork.
Nobody else holds an end of it, it has no name, and what a stranger sent lies in it as octets and text, never as pickle.
"""

import pickle
import struct
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from spool.queue.ingest import Ready, Stored

LENGTH = struct.Struct("!I")


class Take(NamedTuple):
    """To the writer: a sealed message to be written."""

    number: int
    ready: Ready


class Forget(NamedTuple):
    """To the writer: the sender was told 451 already; if it is not being written yet, it need not be."""

    number: int


class Written(NamedTuple):
    """From the writer, once for each message: what became of it; None: in doubt, or forgotten."""

    number: int
    stored: Stored | None


Said = Take | Forget | Written


def pack(said: Sequence[Said]) -> bytes:
    """One frame."""
    contents: list[pickle.PickleBuffer] = []
    parts: list[bytes | memoryview] = [pickle.dumps(said, 5, buffer_callback=contents.append)]
    parts += [content.raw() for content in contents]
    lengths = list(map(len, parts))
    head = struct.pack(f"!{1 + len(parts)}I", len(parts), *lengths)
    return b"".join((LENGTH.pack(len(head) + sum(lengths)), head, *parts))


def read(stream: BinaryIO) -> Sequence[Said] | None:
    """The next frame of a blocking stream; None: the other end is gone, perhaps within a frame. Raises OSError."""
    try:
        head = stream.read(LENGTH.size)
        size = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else 0
        octets = stream.read(size) if size else b""
    except ConnectionResetError:  # it was killed before it read all that we said
        return None
    return _opened(octets) if size and len(octets) == size else None


class Reader:
    """Frames out of octets that come in pieces."""

    def __init__(self) -> None:
        self._octets = b""

    def feed(self, octets: bytes) -> list[Said]:
        """What is complete by now."""
        self._octets += octets
        said: list[Said] = []
        begin = 0
        while len(self._octets) - begin >= LENGTH.size:
            start = begin + LENGTH.size
            end = start + LENGTH.unpack_from(self._octets, begin)[0]
            if len(self._octets) < end:
                break
            said += _opened(self._octets[start:end])
            begin = end
        self._octets = self._octets[begin:]
        return said


def _opened(octets: bytes) -> Sequence[Said]:
    [number] = LENGTH.unpack_from(octets)
    lengths = struct.unpack_from(f"!{number}I", octets, LENGTH.size)
    parts: list[bytes] = []
    begin = LENGTH.size * (1 + number)
    for length in lengths:
        parts.append(octets[begin : begin + length])
        begin += length
    said: Sequence[Said] = pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - from our own socket pair, see above
    return said
