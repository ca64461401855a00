"""Files that are renewed while a process uses them: its certificate and key. Opens nothing, only looks at them."""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)


class Renewals:
    """Begins with the files as they are: to be made before they are read for the first time."""

    def __init__(self, *files: str) -> None:
        self._files = tuple(map(Path, files))
        self._seen = self._look()
        self._refused = ""  # why the files as they are now cannot be used

    def _look(self) -> list[tuple[int, int]]:
        """What changes whenever one of them does: time of change and inode, of those that are there."""
        found: list[tuple[int, int]] = []
        for path in self._files:
            with suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_ino))
        return found

    def follow(
        self, use: Callable[[], None], *, refusals: tuple[type[Exception], ...] = (OSError,), force: bool = False
    ) -> bool:
        """Have `use` read them if they changed. Returns whether it did; one of `refusals` leaves the old ones in use.

        What it refused it gets again each time: half a file, or a missing right, may be mended unseen. Said once.
        """
        found = self._look()
        if found == self._seen and not force:
            return False
        try:
            use()
        except refusals as error:
            if force or self._refused != str(error):
                log.warning("the new %s cannot be used, the old one stays: %s", self._files[0], error)
            self._refused = str(error)
            return False
        self._seen, self._refused = found, ""
        return True
