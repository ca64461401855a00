"""Sockets of a service manager: smtpd listens on what it inherits, and only on what is meant for it."""

import shlex
import socket
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from spool.models import Mailbox, Message
from tests.doubles.smtpd import ROOT, Client, SmtpdProcess
from tests.factories.spool import make_raw


def handed(process: SmtpdProcess, inherited: socket.socket, *, pid: str = "$$", count: str = "1") -> None:
    """Let `process` start as systemd would: the socket as descriptor 3, its own pid in LISTEN_PID."""
    program = shlex.join(process.command)
    script = f"exec 3<&{inherited.fileno()}; LISTEN_PID={pid} LISTEN_FDS={count} exec {program}"
    process.command = ("/bin/bash", "-c", script)
    process.pass_fds = (inherited.fileno(),)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def test_mail_is_taken_on_an_inherited_socket_across_restarts(
    anna: Mailbox, tmp_path: Path, listening: socket.socket
) -> None:
    process = SmtpdProcess(tmp_path)
    configured = process.address
    process.address = listening.getsockname()
    handed(process, listening)
    with process:
        with pytest.raises(ConnectionRefusedError):
            Client(configured)
        with Client(process.address) as client:
            assert client.transaction(make_raw(), "anna@example.test").startswith("250")
        assert process.stop() == 0
        # Nobody serves the port, yet nobody is refused: the manager's socket keeps the connection for the next start.
        with socket.create_connection(process.address, 30) as early:
            process.start()
            assert early.recv(3) == b"220"
    assert Message.objects.count() == 1


def test_sockets_meant_for_another_process_are_left_alone(
    anna: Mailbox, tmp_path: Path, listening: socket.socket
) -> None:
    process = SmtpdProcess(tmp_path)
    handed(process, listening, pid="1")
    with process, Client(process.address) as client:
        assert client.greeting.startswith("220")


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        ("1", "The inherited socket 3 does not listen for TCP"),
        ("many", "LISTEN_FDS must be the number of inherited sockets"),
        ("0", "LISTEN_FDS must be the number of inherited sockets"),
    ],
)
def test_what_cannot_be_listened_on_is_a_sentence(anna: Mailbox, tmp_path: Path, count: str, sentence: str) -> None:
    with socket.socket() as idle:  # bound to nothing
        process = SmtpdProcess(tmp_path)
        handed(process, idle, count=count)
        with pytest.raises(AssertionError) as failed:
            process.start()
    assert sentence in str(failed.value)
    assert "Traceback" not in str(failed.value)


@pytest.mark.pure
def test_the_socket_unit_starts_the_mail_unit_on_port_25() -> None:
    folder = ROOT / "deploy" / "systemd"
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(folder / "einbox-smtpd.socket")
    assert unit["Socket"]["Service"] == "einbox@smtpd.service"
    assert unit["Socket"]["Accept"] == "no"
    assert (folder / "einbox@.service").exists()
    assert "ListenStream=0.0.0.0:25" in (folder / "einbox-smtpd.socket").read_text(encoding="utf-8")
