"""No sequence but CRLF.CRLF ends a message, and none with bare octets is kept (M1, C1)."""

import pytest

from spool.models import Message
from tests.doubles.smtpd import Client
from tests.factories.spool import make_raw

SEQUENCES = [
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\n.\r", b"\r.\n", b"\r\n\0.\r\n",
    b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n",
]  # fmt: skip
SMUGGLED = (
    b"MAIL FROM:<evil@outside.test>\r\nRCPT TO:<anna@example.test>\r\nDATA\r\n"
    b"From: ceo@example.test\r\nSubject: smuggled\r\n\r\nsmuggled\r\n"
)


@pytest.mark.parametrize("sequence", SEQUENCES, ids=repr)
def test_a_smuggled_message_is_refused_and_the_session_stays_in_step(client: Client, sequence: bytes) -> None:
    client.mail("anna@example.test")
    assert client.say("DATA").startswith("354")
    client.send(b"Subject: outer\r\n\r\nouter" + sequence + SMUGGLED + b"\r\n.\r\n")
    assert client.reply().startswith("550 5.6.11")
    assert not Message.objects.exists()
    assert client.transaction(make_raw(), "anna@example.test").startswith("250 2.0.0")
    assert Message.objects.get().subject.startswith("Quarterly")


@pytest.mark.parametrize("line", [b"NOOP\n", b"MAIL FROM:<a@x.test>\n", b"NO\rOP\r\n", b"NOOP\0\r\n", b"NOOP\r\r\n"])
def test_a_bare_line_end_ends_no_command(client: Client, line: bytes) -> None:
    client.send(line)
    assert client.reply().startswith("500 5.5.2")
    assert client.say("NOOP").startswith("250")


@pytest.mark.parametrize("first", [b"EHLO client.test\r\n", b"HELO client.test\r\n"])
def test_commands_sent_before_the_answer_to_ehlo_end_the_session(client: Client, first: bytes) -> None:
    client.send(first + b"MAIL FROM:<a@x.test>\r\n")
    assert client.reply().startswith("554 5.5.0")
    assert client.closed()


def test_content_sent_before_354_ends_the_session(client: Client) -> None:
    client.mail("anna@example.test")
    client.send(b"DATA\r\nSubject: x\r\n\r\n.\r\n")
    assert client.reply().startswith("554 5.5.0")
    assert client.closed()
    assert not Message.objects.exists()
