"""What `manage.py` answers before there are settings: its version, and fresh keys for the settings to be written.

Touches nothing: no file, no database.
"""

from collections.abc import Sequence

from django import get_version

from einbox import __version__
from einbox.keys import new_field_key, new_secret_key


def answer(arguments: Sequence[str]) -> str | None:
    """The text to print, or None when the command needs settings."""
    match list(arguments):
        case ["--version"]:
            return f"einbox {__version__} (Django {get_version()})"
        case ["keys", "new"]:
            return new_field_key()
        case ["keys", "secret"]:
            return new_secret_key()
    return None
