"""Durable files of large content: written aside, synced with their directory, then named. No database.

Names are made by us from ids and random octets; nothing a sender wrote is ever part of a path (threat C22).
Writing is bounded in time: a storage that hangs must not stop intake (rule 4).
"""

import os
import secrets
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from pathlib import Path

from django.core.files.storage import default_storage

from spool.failpoints import failpoint
from spool.ids import encode

Buffer = bytes | memoryview
TIMEOUT = 5.0  # seconds a write may take before content goes into the database
PAUSE = 30.0  # seconds for which a storage that failed is not asked again
TEMPORARY = ".part"

WRITERS = 8
_writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="content")
_hanging: set[Future[None]] = set()  # given up, but not ended; each holds its data
_paused_until = 0.0  # time.monotonic()
_kept: set[Path] = set()  # directories whose names this process has synced


class StorageError(Exception):
    """The content storage failed or took too long."""


def root() -> Path:
    return Path(default_storage.path(""))


def new_name(message_id: int) -> str:
    """A fresh name below the storage's root: two characters of the id as directory, then id and random."""
    public = encode(message_id)
    return f"{public[-2:]}/{public}-{secrets.token_hex(8)}"


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_now(name: str, pieces: Iterable[Buffer]) -> None:
    """Write and sync `pieces` as `name`. Raises OSError; leaves no half file under the final name."""
    failpoint("content.write")
    path = root() / name
    aside = path.with_name(path.name + TEMPORARY)
    handle = _created(aside)
    try:
        with os.fdopen(handle, "wb", buffering=0) as stream:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[stream.write(view) :]
            os.fsync(stream.fileno())
            _uncache(stream.fileno())
        aside.rename(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    _sync_directory(path.parent)


def _created(path: Path) -> int:
    """A new file, open for writing, its directory made if need be."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    # One that is there may be another process's, who made it a moment ago and has yet to sync its name.
    if path.parent not in _kept:
        _keep(path.parent)
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:  # somebody removed it
        _keep(path.parent)
        return os.open(path, flags, 0o600)


def _keep(directory: Path) -> None:
    """Make a directory of the storage if need be, and sync its name, and the storage's own."""
    storage = directory.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if storage not in _kept:
        with suppress(OSError):  # its parent may be another's, who lets nobody open it
            _sync_directory(storage.parent)
        _kept.add(storage)
    _sync_directory(storage)
    _kept.add(directory)


def _uncache(handle: int) -> None:
    """What is synced is read once more, later: its memory is better used for the next one, and for the database."""
    if hasattr(os, "posix_fadvise"):  # not on every system
        with suppress(OSError):  # nor on every file system or kernel; the file is written all the same
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def write(name: str, pieces: Iterable[Buffer]) -> None:
    """As `write_now`, within TIMEOUT. Raises StorageError; then for PAUSE seconds at once."""
    global _paused_until  # noqa: PLW0603 - one breaker per process
    if time.monotonic() < _paused_until:
        raise StorageError("the storage failed a moment ago")
    if len(_hanging) >= WRITERS:  # it would wait behind these, and stay in memory for as long as they hang
        raise StorageError("the storage hangs")
    writing = _writers.submit(write_now, name, pieces)
    try:
        writing.result(timeout=TIMEOUT)
    except (OSError, FutureTimeout) as error:
        if not writing.cancel():
            _hanging.add(writing)
            writing.add_done_callback(_hanging.discard)
        _paused_until = time.monotonic() + PAUSE
        raise StorageError(f"the storage failed: {type(error).__name__}") from error


def resume() -> None:
    """Ask the storage again at once (after a repair)."""
    global _paused_until  # noqa: PLW0603 - one breaker per process
    _paused_until = 0.0


def read(name: str) -> bytes:
    """Raises OSError if the file is missing or unreadable."""
    return (root() / name).read_bytes()


def remove(name: str) -> None:
    """Remove a file; one that is gone already is fine. Raises OSError otherwise."""
    (root() / name).unlink(missing_ok=True)


def older_than(seconds: float) -> Iterator[str]:
    """Names of all files, half ones included, last written more than `seconds` ago."""
    limit = time.time() - seconds
    base = root()
    for path in base.glob("??/*"):
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < limit:
                yield str(path.relative_to(base))
