"""How commands read a file that somebody names. Knows no model."""

from pathlib import Path

from django.core.management.base import CommandError

from audit import reading


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, as audit.reading has it. Raises CommandError."""
    try:
        return reading.text_of(path)
    except reading.UnreadableError as error:
        raise CommandError(str(error)) from error
