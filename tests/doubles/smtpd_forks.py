"""Starts the real smtpd process hundreds of times without paying for its imports each time.

`python -m tests.doubles.smtpd_forks`: a line `PORT FAILPOINTS` on standard input forks one server, which runs what
`manage.py smtpd` runs; its exit status (negative: the signal) is the answer, once its writer is gone, too. Opens no
database before the fork.
"""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from tests.doubles.installation import free_port
from tests.waiting import wait_for


def main() -> None:
    import django

    django.setup()
    from django.conf import settings

    from spool.smtpd import process
    from spool.smtpd.writer import WriterLostError

    for line in sys.stdin:
        port, _, failpoints = line.strip().partition(" ")
        leash, held = os.pipe()
        child = os.fork()
        if not child:
            os.close(leash)
            settings.FAILPOINTS = failpoints
            try:
                process.run("127.0.0.1", int(port))
            except WriterLostError:
                os._exit(1)
            os._exit(0)
        os.close(held)
        _pid, status = os.waitpid(child, 0)
        os.read(leash, 1)  # returns when its writer is gone, too
        os.close(leash)
        print(os.waitstatus_to_exitcode(status), flush=True)


class SmtpdForks:
    """One smtpd after another, each with failpoints of its own, in the environment of an `SmtpdProcess`."""

    def __init__(self, environment: dict[str, str], home: Path) -> None:
        self.environment = environment
        self.log = home / "forks.log"
        self._process: subprocess.Popen[str]

    def __enter__(self) -> "SmtpdForks":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.doubles.smtpd_forks"],
                cwd=Path(__file__).resolve().parents[2],
                env=self.environment | {"DJANGO_SETTINGS_MODULE": "einbox.settings"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
            )
        return self

    def start(self, failpoints: str) -> int:
        """Start a server; its port. Another one is tried where somebody else took it just now."""
        for _ in range(5):
            port = free_port()
            if self._start(port, failpoints):
                return port
        message = f"smtpd does not start; its log: {self.log}"
        raise AssertionError(message)

    def _start(self, port: int, failpoints: str) -> bool:
        from tests.doubles.smtpd import Client

        assert self._process.stdin
        self._process.stdin.write(f"{port} {failpoints}\n")
        self._process.stdin.flush()

        def listening() -> bool:
            assert self._process.poll() is None, self.log.read_text(encoding="utf-8")
            try:
                Client(("127.0.0.1", port), hello=False).close()
            except OSError:
                return False
            return True

        ended: list[int | None] = []

        def over() -> bool:
            ended.append(self.ended(0))
            return ended[-1] is not None

        wait_for(
            lambda: listening() or over(),
            60, every=0.005, what=f"smtpd to listen; its log: {self.log}",
        )  # fmt: skip
        return not ended or ended[-1] is None

    def ended(self, seconds: float = 10) -> int | None:
        """The exit status of the server; None if it has not ended within `seconds`."""
        assert self._process.stdout
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        return int(self._process.stdout.readline()) if readable else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # with a server that still runs
        self._process.communicate()


if __name__ == "__main__":
    main()
