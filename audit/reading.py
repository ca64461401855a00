"""The text of a file that somebody named, or a sentence why it cannot be had. Reads that file only; knows no Django."""

import os
from pathlib import Path

from audit.escape import escape


class UnreadableError(Exception):
    """There is no such text; the error's own is a sentence for whoever named the file."""


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, line ends as they are, without a mark at its beginning. Raises UnreadableError."""
    name = escape(str(path))
    try:
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        message = f"{name} cannot be read ({os.strerror(error.errno or 0)})."
        raise UnreadableError(message) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message = f"{name} is not UTF-8 text (line {line}); save it as UTF-8."
        raise UnreadableError(message) from error
