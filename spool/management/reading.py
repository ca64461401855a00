"""How commands read a file that somebody names. Knows no model."""

import os
from pathlib import Path

from django.core.management.base import CommandError


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, line ends as they are, without a mark at its beginning. Raises CommandError."""
    try:
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        message = f"{path} cannot be read ({os.strerror(error.errno or 0)})."
        raise CommandError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 text (wrong at octet {error.start + 1}); save it as UTF-8."
        raise CommandError(message) from error
