"""The process tree outlives a full disk and a service that cannot be started; its services know they are forked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.doubles.installation import ROOT, alive
from tests.waiting import wait_for

pytestmark = pytest.mark.pure

BEAT_AND_MISSING = """
def beat():
    with open(sys.argv[2], "ab", 0) as file:
        file.write(b"x")

class Unforkable:
    def start(self):
        raise BlockingIOError  # as fork(2) without room for a process

made = supervisor.FORK.Process
supervisor.FORK.Process = lambda name, **more: Unforkable() if name == "missing" else made(name=name, **more)
services = [supervisor.Service("beat", beat), supervisor.Service("missing", beat)]
"""
SLEEPER = """
def opened(process):
    for number in os.listdir(f"/proc/{process}/fd"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/{process}/fd/{number}")

def wakeup_pipe():  # the one of which the supervisor has both ends
    links = list(opened(os.getppid()))
    pipes = {link for link in links if link.startswith("pipe:") and links.count(link) == 2}
    assert pipes
    return pipes

def sleeper():
    child = os.fork()
    if not child:
        signal.pause()
    pathlib.Path(sys.argv[2]).write_text("\\n".join([
        pathlib.Path("/proc/self/comm").read_text().strip(),
        str(os.getpgrp() == os.getpid()),
        str(wakeup_pipe() & set(opened("self"))),
        str([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == [signal.SIG_DFL] * 2),
        str(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        str(child),
    ]))
    signal.pause()

services = [supervisor.Service("sleeper", sleeper)]
"""


@contextmanager
def supervised(services: str, *arguments: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A supervisor of these services; its state file lies in the first of `arguments`."""
    program = f"""
import contextlib, os, pathlib, signal, sys
from einbox import supervisor
{services}
supervisor.Supervisor(services, pathlib.Path(sys.argv[1]) / "processes.json").run()
"""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as tree:
        try:
            yield tree
        finally:
            os.kill(tree.pid, signal.SIGTERM)
        assert tree.wait(20) == 0


def test_a_state_file_that_cannot_be_written_and_a_missing_program_end_nothing(tmp_path: Path) -> None:
    beaten, away = tmp_path / "beaten", tmp_path / "away"
    with supervised(BEAT_AND_MISSING, away, beaten) as tree:
        wait_for(lambda: beaten.exists() and beaten.stat().st_size >= 3, seconds=20)
        assert tree.poll() is None
        away.mkdir()
        wait_for((away / "processes.json").exists, seconds=20)
        assert json.loads((away / "processes.json").read_text())["up"] == tree.pid
    assert not (away / "processes.json").exists()


def test_a_service_is_a_group_of_its_own_with_a_name_and_nothing_of_the_supervisor(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with supervised(SLEEPER, tmp_path, told):
        wait_for(lambda: told.exists() and told.read_text().count("\n") == 5, seconds=20)
    *seen, child = told.read_text().splitlines()
    assert seen == ["sleeper", "True", "set()", "True", "set()"]
    wait_for(lambda: not alive(int(child)), what="what the service forked to end with it")
