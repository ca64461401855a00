"""A place that can be full to the last octet and have room again: a small file system where one may be mounted.

Elsewhere the kernel's limit on the size of a process's files stands in (`FileLimit`); it needs no right.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.bench.processes import descendants

SIZE = 128 * 2**20  # octets
BLOCK = 2**20


class SmallDisk:
    """A tmpfs of `size` octets at `path`, gone after the block. `fill` leaves no octet to anybody."""

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self.path = Path(tempfile.mkdtemp(prefix="einbox-small-disk-"))
        self._filler = self.path / "filler"

    def __enter__(self) -> "SmallDisk":
        options = f"size={self.size},mode=0755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "einbox-test", str(self.path)], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)
        self.path.rmdir()

    def fill(self, _pid: int) -> None:
        with self._filler.open("ab", buffering=0) as filler:
            block = BLOCK
            while block:
                try:
                    filler.write(bytes(block))
                except OSError:
                    block //= 2

    def make_room(self, _pid: int) -> None:
        self._filler.unlink()


class FileLimit:
    """`path` is an ordinary directory; after `fill` the processes below one can write to no file."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="einbox-small-disk-"))

    def __enter__(self) -> "FileLimit":
        self.path.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path)

    def fill(self, pid: int) -> None:
        self._limit(pid, "0")

    def make_room(self, pid: int) -> None:
        self._limit(pid, "unlimited")

    @staticmethod
    def _limit(pid: int, octets: str) -> None:
        """The soft limit, which each process's owner may change, and root not always."""
        for one in descendants(pid):
            with suppress(FileNotFoundError):  # it is gone
                owner = Path(f"/proc/{one}").stat()
                user, group = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else (None, None)
                command = ["prlimit", f"--pid={one}", f"--fsize={octets}:"]
                subprocess.run(command, check=False, user=user, group=group)


def can_mount() -> bool:
    """Whether this process may mount a tmpfs."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    try:
        with SmallDisk(BLOCK):
            return True
    except subprocess.CalledProcessError:
        return False


MOUNTED = [SmallDisk] if can_mount() else []
