"""`manage.py up` as an operator meets it: first start, restarts, stops, refusals."""

import os
import signal
import socket
import stat
import time
from functools import partial
from pathlib import Path

import pytest

from einbox.env import HostPort
from einbox.webserver import answers
from tests.doubles.installation import Installation, alive, tree
from tests.spool.smtp.certificates import make_certificate
from tests.waiting import wait_for

pytestmark = [pytest.mark.pure, pytest.mark.slow]


@pytest.fixture
def box(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


def test_first_start_serves_and_stops_on_sigterm(box: Installation) -> None:
    with box:
        box.wait_until_up()
        processes = tree(box.home)
        assert stat.S_IMODE(box.home.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in (box.home / "keys").iterdir()} == {0o600}
        assert len(processes) >= 4
        started = time.monotonic()
        assert box.stop(signal.SIGTERM) == 0
        assert time.monotonic() - started < 10
        assert tree(box.home) == set()
        assert not (box.home / "processes.json").exists()


def test_ctrl_c_stops_cleanly(box: Installation) -> None:
    with box:
        box.wait_until_up()
        assert box.stop(signal.SIGINT) == 0
        assert tree(box.home) == set()
        assert "Traceback" not in box.output()


def test_sigkill_of_the_parent_leaves_no_orphan(box: Installation) -> None:
    with box:
        box.wait_until_up()
        box.stop(signal.SIGKILL)
        wait_for(lambda: not tree(box.home), seconds=20, what="all processes to leave")


def successor(box: Installation, service: str, old: int) -> int | None:
    """The process that took the place of `old`."""
    current = box.pids().get(service)
    return current if current != old else None


def refused(box: Installation, port: int) -> str:
    """What `up` says where another program listens on `port`."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen(1)
        result = box.manage("up")
    assert result.returncode != 0
    assert f"127.0.0.1:{port} is taken" in result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def test_every_killed_child_comes_back(box: Installation) -> None:
    box.environment["EINBOX_SMTPD_PROCESSES"] = "2"
    with box:
        box.wait_until_up()
        services = [name for name in box.pids() if name != "up"]
        assert {"web", "worker", "smtpd", "smtpd-2"} <= set(services)
        wait_for(lambda: box.output().count("smtpd listens") == 2, what="both to listen")
        for service in services:
            old = box.pids()[service]
            os.kill(old, signal.SIGKILL)
            new = wait_for(partial(successor, box, service, old), seconds=20)
            assert new
            assert alive(new)
        box.wait_until_up()


def test_a_killed_web_worker_comes_back(box: Installation) -> None:
    with box:
        box.wait_until_up()
        web = box.pids()["web"]
        worker = next(pid for pid in tree(box.home) if parent_of(pid) == web)
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not alive(worker), seconds=20)
        box.wait_until_up()


def test_a_second_up_on_the_same_home_is_refused(box: Installation) -> None:
    with box:
        box.wait_until_up()
        second = box.manage("up")
        assert second.returncode != 0
        assert "already running" in second.stderr
        assert "Traceback" not in second.stderr
        assert box.process
        for command, first in ((("restore", "copy"), "Nothing was restored: "), (("keys", "rotate"), "No key was ")):
            beside = box.manage(*command)
            assert beside.returncode == 1
            assert beside.stderr.startswith(f"CommandError: {first}")
            assert f"`up`, process {box.process.pid}. Stop that first" in beside.stderr
            assert f"or `kill {box.process.pid}`" in beside.stderr
        (box.home / "up.lock").write_text("1 \x1b[31mup")
        assert "\x1b" not in box.manage("up").stderr


def test_a_taken_port_is_said(box: Installation) -> None:
    assert "EINBOX_WEB" in refused(box, box.web_port)


def test_the_taken_port_of_the_simulated_primary_is_said(box: Installation) -> None:
    box.environment["EINBOX_DEMO"] = "1"
    assert "simulated primary listens one above" in refused(box, box.smtp_port + 1)


def test_where_it_is_is_said_once_and_when_it_answers(box: Installation) -> None:
    with socket.socket() as later:
        assert not answers(HostPort("127.0.0.1", box.web_port), tls=False)
        later.bind(("127.0.0.1", 0))
        later.listen(1)  # takes the connection and never answers
        assert not answers(HostPort("127.0.0.1", later.getsockname()[1]), tls=False)
    with box:
        wait_for(lambda: "Ctrl-C stops it" in box.output(), seconds=180)
        assert box.fetch("/healthz")[0] == 200
        assert box.fetch("/account/login/", Host="scanner.example")[0] == 400
        assert box.stop() == 0
    assert box.output().count("Ctrl-C stops it") == 1
    assert box.output().count("Invalid HTTP_HOST header") == 1
    assert "Traceback" not in box.output()


def test_a_start_on_every_address_asks_itself_by_its_public_name(box: Installation, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    box.environment |= {
        "EINBOX_WEB": f"0.0.0.0:{box.web_port}",
        "EINBOX_PUBLIC_URL": "https://einbox.example.org",
        "EINBOX_TLS_CERT": str(certificate),
        "EINBOX_TLS_KEY": str(key),
    }
    with box:
        wait_for(lambda: "Ctrl-C stops it" in box.output(), seconds=180)
        assert box.stop() == 0
    assert "Traceback" not in box.output()
    assert "DisallowedHost" not in box.output()


@pytest.mark.parametrize("command", ["up", "check"])
def test_a_home_that_cannot_be_a_directory_is_said(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("in the way")
    result = Installation(tmp_path / "file" / "home").manage(command)
    assert result.returncode != 0
    assert "set EINBOX_HOME" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_read_only_home_is_said(tmp_path: Path) -> None:
    # /proc/self refuses new directories to root, too.
    result = Installation(Path("/proc/self/einbox")).manage("up")
    assert result.returncode != 0
    assert "set EINBOX_HOME" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_setting_is_said(box: Installation) -> None:
    box.environment["EINBOX_DETABASE_URL"] = "x"
    result = box.manage("check")
    assert result.returncode != 0
    assert "EINBOX_DETABASE_URL is not a setting" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_first_start_cut_half_way_is_finished_by_the_next(box: Installation) -> None:
    # What a start killed at its worst moments leaves: a partial key, a static directory without its
    # manifest, an empty database file.
    (box.home / "keys").mkdir(parents=True)
    (box.home / "keys" / ".field_keys.1.abcd").write_text("half")
    from einbox import __version__

    (box.home / "static" / __version__ / "einbox").mkdir(parents=True)
    (box.home / "einbox.sqlite3").touch()
    with box:
        box.wait_until_up()
        assert (box.home / "static" / __version__ / "staticfiles.json").exists()


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    except OSError:
        return 0
