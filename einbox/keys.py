"""Keys of an installation: the secret key and the field keys, made once and kept at 0600.

Touches only the key files in the state directory. Never logs or prints a key.
"""

import base64
import os
import secrets
from pathlib import Path

from einbox.durable import write_aside
from einbox.env import SettingsError

FIELD_KEY_BYTES = 32  # AES-256


def new_field_key() -> str:
    """A key in the form `id:base64`: an eight-hex-digit id and 32 random bytes."""
    return f"{secrets.token_hex(4)}:{base64.urlsafe_b64encode(secrets.token_bytes(FIELD_KEY_BYTES)).decode()}"


def new_secret_key() -> str:
    """For EINBOX_SECRET_KEY: 64 characters, 384 random bits."""
    return secrets.token_urlsafe(48)


def parse_field_keys(value: str) -> dict[str, bytes]:
    """Read `id:base64` keys, newest first, separated by commas or white space. Raises SettingsError."""
    keys: dict[str, bytes] = {}
    for item in value.replace(",", " ").split():
        key_id, _, encoded = item.partition(":")
        try:
            key = base64.urlsafe_b64decode(encoded)
            valid = len(bytes.fromhex(key_id)) == 4 and len(key) == FIELD_KEY_BYTES and key_id not in keys
        except ValueError:
            valid = False
        if not valid:
            message = "EINBOX_FIELD_KEYS must be keys of the form id:base64 (8 hex digits, 32 bytes), newest first."
            raise SettingsError(message)
        keys[key_id] = key
    return keys


def ensure_key_file(path: Path, fresh: str) -> str:
    """The content of `path`; made with `fresh` and mode 0600 if absent. Safe when two processes race.

    Raises SettingsError when the directory cannot be used.
    """
    try:
        return _read_or_make(path, fresh)
    except OSError as error:
        message = (
            f"The keys in {path.parent} cannot be read or made ({os.strerror(error.errno or 0)}). Make that "
            "directory readable and writable for this user, or set EINBOX_HOME to a directory that is."
        )
        raise SettingsError(message) from error


def _read_or_make(path: Path, fresh: str) -> str:
    for directory in (path.parent.parent, path.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        partial = write_aside(path, fresh + "\n")
        try:
            os.link(partial, path)  # atomic, and does not overwrite a key another process made first
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    return path.read_text(encoding="ascii").strip()
