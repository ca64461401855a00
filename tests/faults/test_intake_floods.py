"""Octets without a line end cost the server no memory, and no line of any kind makes it fall out of step."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spool.models import Mailbox, Message
from tests.bench.processes import pss_of_tree
from tests.doubles.smtpd import Client, ServerInThread, SmtpdProcess
from tests.waiting import wait_for

SESSIONS = 8
FLOOD = 24 * 2**20  # octets of each session
PER_SESSION = 4 * 2**20  # octets of memory that a session may cost
VERBS = [b"MAIL FROM:", b"RCPT TO:", b"EHLO ", b"RSET", b"NOOP ", b"VRFY ", b"HELP", b"DATA", b"AUTH ", b"BDAT 1"]
LINES = st.tuples(st.sampled_from([*VERBS, b""]), st.binary(max_size=80)).map(
    lambda parts: b"".join(parts).replace(b"\n", b"")
)


@pytest.mark.parametrize("inside_data", [True, False])
def test_a_flood_without_line_ends_is_not_kept(anna: Mailbox, tmp_path: Path, inside_data: bool) -> None:
    with SmtpdProcess(tmp_path) as process:
        clients = [Client(process.address) for _ in range(SESSIONS)]
        before = pss_of_tree(process.process.pid)
        block, most = b"x" * 2**16, before
        for client in clients:
            if inside_data:
                client.mail("anna@example.test")
                assert client.say("DATA").startswith("354")
        for _ in range(FLOOD // len(block)):
            for client in clients:
                try:
                    client.send(block)
                except OSError:  # sent away already
                    continue
            most = max(most, pss_of_tree(process.process.pid))
        print(f"{(most - before) / SESSIONS / 2**10:.0f} KiB for each of {SESSIONS} sessions")
        with Client(process.address) as good:
            assert good.transaction(b"Subject: good\r\n\r\nx\r\n", "anna@example.test").startswith("250")
        for client in clients:
            client.close()
    assert most - before <= SESSIONS * PER_SESSION
    assert wait_for(Message.objects.count) == 1


def test_every_line_has_one_reply_and_none_is_a_fault_of_ours(anna: Mailbox) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(LINES, max_size=12))
    def any_lines(lines: list[bytes]) -> None:
        with server.client() as client:
            for line in lines:
                reply = client.say(line)
                assert reply[:3].isdigit(), (line, reply)
                assert not reply.startswith("451 4.3.0"), line
                if reply.startswith("354"):
                    assert client.say(b"\r\n.")[:1] in "25"
                if reply.startswith("221"):
                    return
            assert client.say("NOOP").startswith("250")

    with ServerInThread(errors_soft=10**6, errors_hard=10**6, commands=10**6) as server:
        any_lines()
