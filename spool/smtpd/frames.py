"""What the sessions' process and its writer say to each other: frames of a length and a pickled list of messages.

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
    """From the writer: what became of a message; None: in doubt."""

    number: int
    stored: Stored | None


Said = Take | Forget | Written


def pack(said: Sequence[Said]) -> bytes:
    """One frame."""
    octets = pickle.dumps(said, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(octets)) + octets


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
    said: Sequence[Said] = pickle.loads(octets)  # noqa: S301 - from our own socket pair, see above
    return said
