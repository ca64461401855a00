"""Each limit of the server: what it bounds, what a client hears, and that the next client is served."""

import re
import socket
import struct
import time
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import override_settings

from spool.models import Mailbox, Message
from spool.smtpd.limits import Limits
from tests.doubles.locks import locked
from tests.doubles.smtpd import ROOT, Client, ServerInThread
from tests.factories.spool import make_mailbox, make_raw
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("anna")


def limited(**limits: Any) -> ServerInThread:
    return ServerInThread(**limits)


def test_every_limit_with_a_setting_follows_it() -> None:
    assert Limits.from_settings() == Limits()
    rows = re.findall(r"\| `EINBOX_(SMTPD_\w+)` \|", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"))
    of_the_process = {"SMTPD_COMMITTERS", "SMTPD_PROCESSES"}  # no limits
    for number, name in enumerate(sorted({*rows} - of_the_process - {"SMTPD_PROXIES"})):
        field = name.removeprefix("SMTPD_").lower()
        with override_settings(**{name: 100 + number}):
            unit = 2**20 if field == "memory" else 1
            changed = {field: (100 + number) * unit}
            assert asdict(Limits.from_settings()) == asdict(Limits()) | changed, name
    proxies = (ip_network("192.0.2.0/24"),)
    with override_settings(DISK_FLOOR=3, MESSAGE_SIZE_LIMIT=4, SMTPD_PROXIES=proxies):
        assert Limits.from_settings() == Limits(disk_floor=3 * 2**20, message_size=4, proxies=proxies)


def test_sessions_in_all() -> None:
    with limited(sessions=2) as server, server.client(), server.client(source="127.0.0.2") as second:
        third = server.client(hello=False, source="127.0.0.3")
        assert third.greeting == "421 4.7.0 Too many sessions; try again later"
        assert third.closed()
        third.close()
        second.close()
        wait_for(lambda: len(server.server.connections) == 1)
        server.client(source="127.0.0.3").close()


def test_sessions_of_one_client() -> None:
    with limited(sessions_per_client=1) as server, server.client():
        with server.client(hello=False) as again:
            assert again.greeting.startswith("421 4.7.0")
        with server.client(source="127.0.0.2") as other:
            assert other.say("NOOP").startswith("250")


def test_recipients() -> None:
    for number in range(3):
        make_mailbox(f"p{number}@example.test")
    with limited(recipients=2) as server, server.client() as client:
        replies = client.mail("p0@example.test", "p1@example.test", "p2@example.test")
        assert [reply[:9] for reply in replies] == ["250 2.1.5", "250 2.1.5", "452 4.5.3"]
        assert client.data(make_raw()).startswith("250")
    assert Message.objects.get().deliveries.count() == 2


def test_a_thousand_recipients_are_taken(server: ServerInThread) -> None:
    with server.client() as client:
        client.say("MAIL FROM:<erika@outside.test>")
        client.send(b"".join(b"RCPT TO:<anna+%d@example.test>\r\n" % number for number in range(1000)))
        assert {client.reply() for _ in range(1000)} == {"250 2.1.5 Ok"}
        assert client.data(make_raw()).startswith("250")
    assert Message.objects.get().deliveries.count() == 1000


def test_commands_that_bring_no_mail() -> None:
    with limited(commands=5) as server, server.client() as client:
        assert {client.say("NOOP")[:3] for _ in range(4)} == {"250"}
        client.mail("anna@example.test")
        assert client.data(make_raw()).startswith("250")
        assert {client.say("RSET")[:3] for _ in range(5)} == {"250"}
        assert client.say("NOOP") == "421 4.7.0 Too many commands without mail"
        assert client.closed()


def test_errors_are_slowed_down_then_the_session_ends() -> None:
    with limited(errors_soft=2, errors_hard=4, tarpit=0.3) as server, server.client() as client:
        began = time.monotonic()
        assert [client.say("XYZZY")[:3] for _ in range(2)] == ["500", "500"]
        assert time.monotonic() - began < 0.25
        assert client.say("XYZZY").startswith("500")
        assert time.monotonic() - began >= 0.3
        assert client.say("XYZZY").startswith("500")
        assert client.reply().startswith("421 4.7.0")
        assert client.closed()


def test_being_put_off_by_a_healthy_primary_is_no_error() -> None:
    from tests.spool.smtpd.test_verdicts import healthy

    healthy()
    with limited(errors_soft=1, errors_hard=2) as server, server.client() as client:
        for _ in range(5):
            assert client.mail("anna@example.test")[0].startswith("451")
            client.say("RSET")


def test_a_long_command_line(client: Client) -> None:
    assert client.say(b"NOOP " + b"x" * 3000).startswith("500 5.5.2")
    client.send(b"NOOP " + b"x" * 30_000)
    client.send(b"x" * 30_000 + b"\r\n")
    assert client.reply().startswith("500 5.5.2")
    assert client.say("NOOP").startswith("250")


def test_a_command_line_without_end_is_cut(server: ServerInThread) -> None:
    with server.client() as client:
        with suppress(OSError):
            for _ in range(2000):
                client.send(b"x" * 10_000)
        wait_for(lambda: not server.server.connections)


@pytest.mark.parametrize("length", [64 * 2**10, 64 * 2**10 + 1])
def test_the_length_of_a_line_in_a_mail(client: Client, length: int) -> None:
    client.mail("anna@example.test")
    reply = client.data(b"Subject: x\r\n\r\n" + b"x" * length + b"\r\n")
    assert reply[:9] == ("250 2.0.0" if length == 64 * 2**10 else "550 5.6.0")
    assert client.say("NOOP").startswith("250")


def test_size_declared_and_size_sent() -> None:
    with limited(message_size=10_000) as server, server.client() as client:
        assert client.say("MAIL FROM:<a@outside.test> SIZE=10001").startswith("552 5.3.4")
        for length, reply in ((10_000, "250 2.0.0"), (10_001, "552 5.3.4")):
            client.mail("anna@example.test", parameters=" SIZE=10000")
            raw = b"Subject: x\r\n\r\n"
            assert client.data(raw + b"x" * (length - len(raw) - 2) + b"\r\n")[:9] == reply
        assert client.say("NOOP").startswith("250")
    assert Message.objects.get().size == 10_000


def flood(client: Client, block: bytes, octets: int) -> str:
    """Send `octets` of `block`s after DATA, without an end; the reply, "" if there was only a reset."""
    client.mail("anna@example.test")
    assert client.say("DATA").startswith("354")
    client.socket.settimeout(10)
    with suppress(OSError):
        for _ in range(octets // len(block)):
            client.send(block)
    return client.reply()


@pytest.mark.parametrize(
    ("block", "reply"), [(b"x" * 50_000, "550 5.6.0"), (b"x" * 998 + b"\r\n", "552 5.3.4")], ids=["no CRLF", "lines"]
)
def test_a_mail_that_never_ends_is_drained_to_twice_the_limit_then_cut(block: bytes, reply: str) -> None:
    with limited(message_size=1_000_000) as server, server.client() as client:
        heard = flood(client, block, 3_000_000)
        assert heard[:9] in {reply, ""}  # a reset may overtake the reply
        wait_for(lambda: server.server.in_flight == 0)
        wait_for(lambda: not server.server.connections)
        server.client().close()
    assert not Message.objects.exists()


def test_memory_of_all_sessions() -> None:
    with limited(memory=100_000) as server, server.client() as first, server.client() as second:
        first.mail("anna@example.test")
        first.say("DATA")
        first.send(b"x: y\r\n" * 15_000)
        wait_for(lambda: server.server.in_flight == 90_000)
        second.mail("anna@example.test")
        assert second.data(b"x: y\r\n" * 5_000) == "452 4.3.1 Not enough room now; try again later"
        first.send(b".\r\n")
        assert first.reply().startswith("250")
        second.mail("anna@example.test")
        assert second.data(make_raw()).startswith("250")
        wait_for(lambda: server.server.in_flight == 0)


def takes_more(server: ServerInThread, *, than: int) -> bool:
    return server.server.in_flight > than


@pytest.mark.parametrize(("mails", "recipients"), [(32, 1), (1, 400)])
def test_mail_whose_senders_left_counts_with_its_recipients(mails: int, recipients: int) -> None:
    """Its sessions are gone, so no other limit holds it; of little content the envelope is nearly all."""
    with limited(memory=147_000, sessions=5) as server:
        with locked():
            for number in range(mails):
                with server.client() as client:
                    client.mail(*(f"anna+{number}@example.test" for number in range(recipients)))
                    before = server.server.in_flight
                    assert client.say("DATA").startswith("354")
                    client.send(b"%d\r\n.\r\n" % number)
                    wait_for(partial(takes_more, server, than=before + 4096))
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                wait_for(lambda: not server.server.connections)
            with server.client() as client:
                assert client.say("MAIL FROM:<a@outside.test>") == "452 4.3.1 Not enough room now; try again later"
        wait_for(lambda: server.server.in_flight == 0)
        with server.client() as client:
            assert client.say("MAIL FROM:<a@outside.test>") == "250 2.1.0 Ok"


def test_disk_headroom() -> None:
    with limited(disk_floor=2**60) as server, server.client() as client:
        assert client.say("MAIL FROM:<a@outside.test>").startswith("452 4.3.1")


def test_a_declared_size_without_room_is_put_off_at_mail() -> None:
    with limited(memory=100_000) as server, server.client() as client:
        assert client.say("MAIL FROM:<a@outside.test> SIZE=100001") == "452 4.3.1 Not enough room now; try again later"
        assert client.say("MAIL FROM:<a@outside.test> SIZE=100000") == "250 2.1.0 Ok"


@pytest.mark.parametrize("phase", ["command", "data"])
def test_a_silent_client_is_sent_away(phase: str) -> None:
    with limited(idle=0.3, data_idle=0.3) as server, server.client() as client:
        if phase == "data":
            client.mail("anna@example.test")
            client.say("DATA")
            client.send(b"Subject: x\r\n")
        assert client.reply() == "421 4.4.2 Waited too long"
        assert client.closed()


def test_a_mail_slower_than_the_floor_is_cut_and_one_above_it_is_not() -> None:
    with limited(data_grace=0.5, data_rate=100_000.0) as server:
        with server.client() as client:
            client.mail("anna@example.test")
            client.say("DATA")
            client.socket.settimeout(0.05)
            heard = b""
            for _ in range(60):
                client.send(b"x\r\n")
                try:
                    heard = client.socket.recv(100)
                    break
                except TimeoutError:
                    continue
            assert heard.startswith(b"421 4.4.2 The mail comes too slowly")
        with server.client() as client:
            client.mail("anna@example.test")
            client.say("DATA")
            began = time.monotonic()

            def sent_for_long_enough() -> bool:
                client.send(b"x" * 998 + b"\r\n" + b"y" * 998 + b"\r\n")
                return time.monotonic() - began > 1.2

            wait_for(sent_for_long_enough, 5, every=0.005)
            client.send(b".\r\n")
            assert client.reply().startswith("250")


def test_mail_loops(client: Client) -> None:
    ours = b"Received: from a.test ([192.0.2.1])\r\n\tby einbox.test (einbox) with ESMTP\r\n\tid X; now\r\n"
    theirs = b"Received: from a.test by b.test; now\r\n"
    for head, reply in ((theirs * 49, "250"), (theirs * 50, "554 5.4.6"), (ours * 2, "250"), (ours * 3, "554 5.4.6")):
        client.mail("anna@example.test")
        assert client.data(head + make_raw()).startswith(reply)


def test_refusals_are_counted_by_reason(client: Client, server: ServerInThread, anna: Mailbox) -> None:
    from spool.models import Counter

    client.mail("a@outside.test", "b@outside.test", "nobody@example.test", "anna@example.test")
    client.data(make_raw())
    server.server.counters.flush()
    counted = dict(Counter.objects.values_list("name", "value"))
    assert counted["smtpd.refused.foreign"] == 2
    assert counted["smtpd.refused.unknown"] == 1
    assert counted["smtpd.accepted"] == 1


def test_a_client_that_closes_half_way_still_gets_its_answers(server: ServerInThread) -> None:
    with server.client() as client:
        client.mail("anna@example.test")
        assert client.say("DATA").startswith("354")
        client.send(make_raw() + b".\r\nNOOP\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.reply().startswith("250 2.0.0")
        assert client.reply().startswith("250")
        assert client.closed()
