"""The syncs of a real process, counted and failed on demand, by a small library preloaded into it (needs cc)."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("syncs.c")


class Syncs:
    """`environment` goes to the process that is watched."""

    def __init__(self, home: Path) -> None:
        compiler = shutil.which("cc")
        if not compiler:
            pytest.skip("no C compiler: syncs cannot be counted or failed here")
        library = home / "syncs.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True, timeout=60
        )
        self._counters = home / "syncs.counters"
        self._counters.write_bytes(bytes(16))
        self._counters.chmod(0o666)  # the process may be another user's
        self.environment = {"LD_PRELOAD": str(library), "TEST_SYNCS": str(self._counters)}

    @property
    def count(self) -> int:
        """Syncs that succeeded so far."""
        return int(struct.unpack("=QQ", self._counters.read_bytes())[0])

    def fail(self, *, on: bool) -> None:
        """From now on every sync fails with EIO, or succeeds again."""
        with self._counters.open("r+b") as counters:
            counters.seek(8)
            counters.write(struct.pack("=Q", on))
