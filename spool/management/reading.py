"""How commands read a file that somebody names, and a line that somebody types. Knows no model."""

import sys
from pathlib import Path

from django.core.management.base import CommandError

from audit import reading
from audit.escape import UNSTORABLE


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, as audit.reading has it. Raises CommandError."""
    try:
        return reading.text_of(path)
    except reading.UnreadableError as error:
        raise CommandError(str(error)) from error


def line_of_stdin(what: str) -> str:
    """The next line of standard input, which should be `what`, without its end. Raises CommandError."""
    try:
        typed = sys.stdin.readline() if sys.stdin else ""  # None: it was closed
    except UnicodeDecodeError:
        typed = "\0"
    if not typed:
        message = f"Standard input ended before {what} came."
        raise CommandError(message)
    if UNSTORABLE.search(typed):
        message = f"What came for {what} is no text."
        raise CommandError(message)
    return typed.rstrip("\r\n")
