"""Whole sessions on a real socket: what is offered, taken, refused, and kept."""

from spool.models import Delivery, Mailbox, Message
from spool.queue import content
from tests.doubles.smtpd import Client, ServerInThread
from tests.factories.spool import make_raw


def test_the_extensions_are_exactly_those_promised(server: ServerInThread) -> None:
    with server.client(hello=False) as client:
        assert client.greeting == "220 einbox.test ESMTP einbox"
        assert client.say("EHLO client.test").splitlines() == [
            "250-einbox.test", "250-SIZE 1048576", "250-8BITMIME", "250-SMTPUTF8", "250-PIPELINING",
            "250 ENHANCEDSTATUSCODES",
        ]  # fmt: skip


def test_a_mail_is_kept_before_its_250(client: Client, anna: Mailbox) -> None:
    raw = make_raw() + b".a line with a dot\r\n..\r\n"
    assert client.mail("anna@example.test", parameters=" BODY=8BITMIME SIZE=300") == ["250 2.1.5 Ok"]
    reply = client.data(raw)
    message = Message.objects.get()
    assert reply == f"250 2.0.0 Ok: kept as {message.public_id}"
    assert content.read(message) == raw
    assert (message.reverse_path, message.helo, message.peer) == ("erika@outside.test", "client.test", "127.0.0.1")
    assert message.body_8bit
    delivery = Delivery.objects.get()
    assert (delivery.mailbox, delivery.forward_path) == (anna, "anna@example.test")
    assert delivery.visible_at is not None


def test_many_mails_in_one_pipelined_session(client: Client, anna: Mailbox) -> None:
    for _ in range(20):
        client.send(
            b"MAIL FROM:<erika@outside.test>\r\nRCPT TO:<anna@example.test>\r\nRCPT TO:<no@example.test>\r\nDATA\r\n"
        )
        replies = [client.reply()[:9] for _ in range(4)]
        assert replies[:3] == ["250 2.1.0", "250 2.1.5", "550 5.1.1"]
        assert replies[3][:3] == "354"
        client.send(make_raw() + b".\r\n")
        assert client.reply().startswith("250 2.0.0")
    client.send(b"NOOP\r\nRSET\r\nQUIT\r\n")
    assert [client.reply()[:9] for _ in range(3)] == ["250 2.0.0", "250 2.0.0", "221 2.0.0"]
    assert client.closed()
    assert Message.objects.count() == 20
