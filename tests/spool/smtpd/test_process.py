"""The process: signs of life, the end, the port, the certificate."""

import signal
import socket
import time
from itertools import count
from pathlib import Path

import pytest

from spool.models import Counter, Heartbeat, Mailbox, Message
from spool.smtpd import committer
from spool.smtpd.beat import HEARTBEAT_EVERY, SILENT_FOR, UNWRITTEN, Beat
from tests.doubles.locks import locked
from tests.doubles.smtpd import Client, ServerInThread, SmtpdProcess
from tests.factories.spool import make_raw
from tests.waiting import wait_for


def test_signs_of_life_and_counts_reach_the_database(anna: Mailbox, tmp_path: Path) -> None:
    with SmtpdProcess(tmp_path) as process:
        with Client(process.address) as client:
            assert client.transaction(make_raw(), "anna@example.test").startswith("250")
        sign = wait_for(lambda: Heartbeat.objects.filter(service="smtpd").first(), 5)
        assert sign is not None
        assert wait_for(lambda: Heartbeat.objects.get(pk=sign.pk).at > sign.at, 5)
        assert process.stop() == 0
    assert not Heartbeat.objects.filter(service="smtpd").exists()
    assert Counter.objects.get(name="smtpd.accepted").value == 1


def test_no_sign_of_life_while_mail_is_not_written(anna: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "BUSY_MS", 200)
    with ServerInThread() as server:
        beat = Beat(server.server)
        clock = count(time.monotonic(), HEARTBEAT_EVERY)

        def beaten(later: float = 0.0) -> bool:
            before = Heartbeat.objects.values_list("at", flat=True).first()
            beat.step(next(clock) + later, ending=False)
            return Heartbeat.objects.get().at != before

        assert beaten()
        with server.client() as client:
            for number in range(UNWRITTEN):
                assert beaten(), f"{number} mails in a row are no sign"
                with locked():
                    assert client.transaction(make_raw(), "anna@example.test").startswith("451")
            assert not beaten()
            wait_for(lambda: client.transaction(make_raw(), "anna@example.test").startswith("250"))
            assert beaten()
            server.server.unwritten = UNWRITTEN
            assert not beaten()
            assert beaten(SILENT_FOR), "no mail comes any more, and nobody knows"
        beat.step(next(clock), ending=True)


def test_mail_that_takes_too_long_counts_until_it_is_written(anna: Mailbox) -> None:
    with ServerInThread(commit=0.2) as server, server.client() as client:
        with locked():
            for _ in range(UNWRITTEN):
                assert client.transaction(make_raw(), "anna@example.test").startswith("451")
            assert server.server.unwritten == UNWRITTEN
        wait_for(lambda: server.server.unwritten == 0, what="what was pending to be written")


def test_sigterm_finishes_what_is_in_data_and_says_421_to_the_rest(anna: Mailbox, tmp_path: Path) -> None:
    with SmtpdProcess(tmp_path) as process:
        with Client(process.address) as idle, Client(process.address) as sending:
            sending.mail("anna@example.test")
            assert sending.say("DATA").startswith("354")
            sending.send(b"Subject: in the middle\r\n\r\n")
            began = time.monotonic()
            process.process.send_signal(signal.SIGTERM)
            assert idle.reply() == "421 4.3.2 Shutting down; try again soon"
            assert idle.closed()
            sending.send(b"body\r\n.\r\n")
            assert sending.reply().startswith("250 2.0.0")
            assert sending.reply().startswith("421 4.3.2")
        assert process.process.wait(8) == 0
        assert time.monotonic() - began < 8
    assert Message.objects.get().subject == "in the middle"


def test_sigterm_does_not_wait_for_a_client_that_stalls(anna: Mailbox, tmp_path: Path) -> None:
    with SmtpdProcess(tmp_path) as process, Client(process.address) as client:
        client.mail("anna@example.test")
        client.say("DATA")
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(8) == 0
    assert not Message.objects.exists()


def test_several_processes_share_the_port(anna: Mailbox, tmp_path: Path) -> None:
    with SmtpdProcess(tmp_path) as first:
        second = SmtpdProcess(tmp_path)
        second.address, second.environment["EINBOX_SMTP"] = first.address, f"127.0.0.1:{first.port}"
        with second:
            wait_for(lambda: Heartbeat.objects.filter(service="smtpd").count() == 2, 10)
            first.stop(signal.SIGKILL)
            with Client(first.address) as client:
                assert client.transaction(make_raw(), "anna@example.test").startswith("250")


def test_the_wildcard_of_ipv6_takes_both_families_and_knows_them_apart(anna: Mailbox, tmp_path: Path) -> None:
    process = SmtpdProcess(tmp_path)
    process.environment["EINBOX_SMTP"] = f"[::]:{process.port}"
    with process:
        for host in ("127.0.0.1", "::1"):
            with Client((host, process.port)) as client:
                assert client.transaction(make_raw(), "anna@example.test").startswith("250")
    assert set(Message.objects.values_list("peer", flat=True)) == {"127.0.0.1", "::1"}


def test_a_taken_port_is_a_sentence_and_leaves_no_writer(anna: Mailbox, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = SmtpdProcess(tmp_path)
        process.environment["EINBOX_SMTP"] = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AssertionError) as failed:
            process.start()
    said = str(failed.value)
    assert process.ended(1) == 1
    assert "smtpd cannot listen on 127.0.0.1" in said
    assert "Traceback" not in said
