"""What a file holds that somebody named, or a sentence why it cannot be had. Reads that file only; knows no Django."""

import os
from pathlib import Path

from audit.escape import escape

MOST = 64 * 2**20  # octets; the largest list of people has a thousandth of it, and a device would never end


class UnreadableError(Exception):
    """It cannot be had; the error's own is a sentence for whoever named the file."""


def octets_of(path: Path) -> bytes:
    """What a file holds. Raises UnreadableError."""
    try:
        with path.open("rb") as stream:
            octets = stream.read(MOST + 1)
    except OSError as error:
        message = f"{escape(str(path))} cannot be read ({os.strerror(error.errno or 0)})."
        raise UnreadableError(message) from error
    if len(octets) > MOST:
        message = f"{escape(str(path))} has more than {MOST // 2**20} MiB."
        raise UnreadableError(message)
    return octets


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, line ends as they are, without a mark at its beginning. Raises UnreadableError."""
    try:
        return octets_of(path).decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message = f"{escape(str(path))} is not UTF-8 text (line {line}); save it as UTF-8."
        raise UnreadableError(message) from error
