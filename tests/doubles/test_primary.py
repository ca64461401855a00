"""The scripted primary itself: what a test relies on when it judges einbox by it."""

import smtplib

import pytest

from tests.doubles.primary import Primary, close, drop, reply

pytestmark = pytest.mark.pure


def send(port: int, *recipients: str, content: bytes = b"Subject: x\r\n\r\n.dot\r\n") -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", port, timeout=5)
    client.sendmail("s@outside.test", list(recipients), content)
    return client


def test_it_keeps_exact_octets_and_envelope() -> None:
    with Primary() as primary:
        send(primary.port, "a@corp.test", "b@corp.test").quit()
        (kept,) = primary.kept
        assert kept.octets == b"Subject: x\r\n\r\n.dot\r\n"
        assert kept.wire == b"Subject: x\r\n\r\n..dot\r\n"
        assert (kept.sender, kept.recipients, kept.answered) == ("s@outside.test", ("a@corp.test", "b@corp.test"), True)


def test_rules_speak_per_recipient_and_run_out() -> None:
    with Primary() as primary:
        primary.on("rcpt", reply("450 4.2.1 full"), recipient="a@corp.test", times=1)
        client = smtplib.SMTP("127.0.0.1", primary.port, timeout=5)
        assert client.sendmail("s@x.test", ["a@corp.test", "b@corp.test"], b"x") == {
            "a@corp.test": (450, b"4.2.1 full")
        }
        assert client.sendmail("s@x.test", ["a@corp.test", "b@corp.test"], b"x") == {}
        client.quit()


@pytest.mark.parametrize("act", [drop(), close()])
def test_a_message_cut_at_the_dot_is_kept_unanswered(act: object) -> None:
    with Primary() as primary:
        primary.on("dot", act)  # type: ignore[arg-type]
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            send(primary.port, "a@corp.test")
        assert [kept.answered for kept in primary.kept] == [False]


def test_it_refuses_while_stopped_and_returns_on_the_same_port() -> None:
    primary = Primary().start()
    port = primary.port
    primary.stop()
    with pytest.raises(ConnectionRefusedError):
        send(port, "a@corp.test")
    with primary:
        assert primary.port == port
        send(port, "a@corp.test").quit()
    assert primary.copies("a@corp.test") == 1
