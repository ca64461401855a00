"""The process tree outlives a full disk and a service that cannot be started."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.installation import ROOT
from tests.waiting import wait_for

PROGRAM = """
import sys
from pathlib import Path
from einbox.supervisor import Service, Supervisor
beat = (sys.executable, "-c", "import sys; open(sys.argv[1], 'ab', 0).write(b'x')", sys.argv[2])
services = [Service("beat", beat), Service("missing", ("/nonexistent/program",))]
Supervisor(services, Path(sys.argv[1]) / "processes.json").run()
"""


@pytest.mark.pure
def test_a_state_file_that_cannot_be_written_and_a_missing_program_end_nothing(tmp_path: Path) -> None:
    beaten, away = tmp_path / "beaten", tmp_path / "away"
    command = [sys.executable, "-c", PROGRAM, str(away), str(beaten)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as tree:
        try:
            wait_for(lambda: beaten.exists() and beaten.stat().st_size >= 3, seconds=20)
            assert tree.poll() is None
            away.mkdir()
            wait_for((away / "processes.json").exists, seconds=20)
            assert json.loads((away / "processes.json").read_text())["up"] == tree.pid
        finally:
            os.kill(tree.pid, signal.SIGTERM)
        assert tree.wait(10) == 0
    assert not (away / "processes.json").exists()
