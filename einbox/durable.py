"""Small private files that must be whole after a crash: written aside, synced, then named. Mode 0600.

Touches only the paths it is given; knows no settings.
"""

import os
import secrets
from pathlib import Path


def sync(path: Path) -> None:
    """Force a file or directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_aside(path: Path, text: str) -> Path:
    """A synced new file beside `path` that holds `text`; the caller gives it its name."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return partial


def replace(path: Path, text: str) -> None:
    """Replace the content of `path` in one step; the old content stays whole until then."""
    write_aside(path, text).replace(path)
    sync(path.parent)
