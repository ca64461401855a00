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

PROGRAM = """
import os, pathlib, signal, sys
from einbox import supervisor
%s
supervisor.Supervisor(services, pathlib.Path(sys.argv[1]) / "processes.json").run()
"""
BEAT_AND_MISSING = """
def beat():
    with open(sys.argv[2], "ab", 0) as file:
        file.write(b"x")

def fork():
    global forks
    forks += 1
    if forks <= 12:
        raise BlockingIOError  # as fork(2) without room for a process
    return really_fork()

forks, really_fork, os.fork = 0, os.fork, fork
supervisor.BACK_OFF = (0.0, 0.05)
services = [supervisor.Service("beat", beat), supervisor.Service("missing", lambda: sys.exit("not today"))]
"""
SLEEPER = """
import fcntl, resource
held = os.open("/", os.O_RDONLY)  # as the lock of the state directory is
os.set_inheritable(held, True)
fcntl.fcntl(held, fcntl.F_DUPFD, 300)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

def sleeper():
    child = os.fork()
    if not child:
        signal.pause()
    pathlib.Path(sys.argv[2]).write_text("\\n".join([
        pathlib.Path("/proc/self/comm").read_text().strip(),
        str(os.getpgrp() == os.getpid()),
        str([number for number in range(3, 400) if os.path.exists(f"/proc/self/fd/{number}")]),
        os.readlink("/proc/self/fd/0"),
        str([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == [signal.SIG_DFL] * 2),
        str(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        str(child),
    ]))
    signal.pause()

services = [supervisor.Service("sleeper", sleeper)]
"""
CTRL_C_AT_THE_START = """
def setpgid(process, group):
    if process:  # the child is quicker
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    else:  # and Ctrl-C is quicker than both
        os.kill(0, signal.SIGINT)
        really_setpgid(process, group)

really_setpgid, os.setpgid = os.setpgid, setpgid
services = [supervisor.Service("early", lambda: None)]
"""


FINISHING = """
import time

def finishing():  # ends only when the other has
    signal.signal(signal.SIGTERM, lambda *_: None)
    pathlib.Path(sys.argv[2], "ready").touch()
    while not pathlib.Path(sys.argv[2], "gone").exists():
        time.sleep(0.01)
    pathlib.Path(sys.argv[2], "finished").touch()

def other():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path(sys.argv[2], "gone").touch()))
    pathlib.Path(sys.argv[2], "steady").touch()
    while True:
        signal.pause()

services = [
    supervisor.Service("finishing", finishing, stop_seconds=8, finishes=True),
    supervisor.Service("other", other),
]
"""


@contextmanager
def supervised(services: str, *arguments: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A supervisor of these services; its state file lies in the first of `arguments`."""
    command = [sys.executable, "-c", PROGRAM % services, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as tree:
        try:
            yield tree
        finally:
            os.kill(tree.pid, signal.SIGTERM)
        assert tree.wait(10) == 0


def test_a_state_file_that_cannot_be_written_and_a_missing_program_end_nothing(tmp_path: Path) -> None:
    beaten, away = tmp_path / "beaten", tmp_path / "away"
    with supervised(BEAT_AND_MISSING, away, beaten) as tree:
        wait_for(lambda: beaten.exists() and beaten.stat().st_size >= 3, seconds=20)
        assert tree.poll() is None
        away.mkdir()
        wait_for((away / "processes.json").exists, seconds=20)
        assert json.loads((away / "processes.json").read_text())["up"] == tree.pid
        descriptors = list(Path(f"/proc/{tree.pid}/fd").iterdir())
        assert len(descriptors) <= 6, "of twelve starts that failed something is left open"
    assert not (away / "processes.json").exists()


def test_a_service_is_a_group_of_its_own_with_a_name_and_nothing_of_the_supervisor(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with supervised(SLEEPER, tmp_path, told):
        wait_for(lambda: told.exists() and told.read_text().count("\n") == 6, seconds=20)
    *seen, child = told.read_text().splitlines()
    assert seen == ["sleeper", "True", "[]", "/dev/null", "True", "set()"]
    wait_for(lambda: not alive(int(child)), what="what the service forked to end with it")


def test_what_finishes_has_its_time_and_holds_up_nobody(tmp_path: Path) -> None:
    with supervised(FINISHING, tmp_path, tmp_path):
        wait_for(lambda: (tmp_path / "ready").exists() and (tmp_path / "steady").exists(), seconds=20)
    assert (tmp_path / "finished").exists()


def test_ctrl_c_while_services_are_started_is_no_fault() -> None:
    command = [sys.executable, "-c", PROGRAM % CTRL_C_AT_THE_START, "/nonexistent"]
    tree = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, process_group=0, timeout=20, check=False)
    assert tree.returncode == 0
    assert "Traceback" not in tree.stderr
