"""What a file holds that somebody named, or a sentence why it cannot be had. Reads that file only; knows no Django."""

import os
from pathlib import Path

from audit.escape import escape


class UnreadableError(Exception):
    """It cannot be had; the error's own is a sentence for whoever named the file."""


def octets_of(path: Path) -> bytes:
    """What a file holds. Raises UnreadableError."""
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{escape(str(path))} cannot be read ({os.strerror(error.errno or 0)})."
        raise UnreadableError(message) from error


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, line ends as they are, without a mark at its beginning. Raises UnreadableError."""
    try:
        return octets_of(path).decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message = f"{escape(str(path))} is not UTF-8 text (line {line}); save it as UTF-8."
        raise UnreadableError(message) from error
