"""Every refusal: what leads to it, its exact reply, its count in /metrics, a log line without a word of the mail."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.test import Client as Browser

from spool.models import Counter, Mailbox
from spool.smtpd import replies
from spool.smtpd.replies import Reply
from tests.doubles.locks import locked
from tests.doubles.smtpd import Client, ServerInThread
from tests.spool.smtpd.test_verdicts import healthy, set_domain

SECRET = "geheim"  # stands in every address, name and text that is sent
ANNA = "anna@example.test"
SENDER = f"{SECRET}@outside.test"
HEAD = f"Subject: {SECRET}\r\n\r\n".encode()


class Case(NamedTuple):
    """`act` returns the reply; `limits` are the server's, `before` changes the world that it sees."""

    act: Callable[[Client], str]
    limits: dict[str, Any] = {}
    before: Callable[[], object] = lambda: None


def line(text: str | bytes) -> Callable[[Client], str]:
    return lambda client: client.say(text)


def mail(parameters: str, sender: str = SENDER) -> Callable[[Client], str]:
    return line(f"MAIL FROM:<{sender}>{parameters}")


def rcpt(*recipients: str) -> Callable[[Client], str]:
    return lambda client: client.mail(*recipients, sender=SENDER)[-1]


def data(raw: bytes) -> Callable[[Client], str]:
    def act(client: Client) -> str:
        client.mail(ANNA, sender=SENDER)
        return client.data(HEAD + raw)

    return act


def unfinished(client: Client) -> str:
    client.mail(ANNA, sender=SENDER)
    client.say("DATA")
    client.send(HEAD)
    return client.reply()


def without_recipients(client: Client) -> str:
    client.mail(sender=SENDER)
    return client.say("DATA")


def second_reply(client: Client) -> str:
    client.say(SECRET)
    return client.reply()


def data_with_hops(client: Client) -> str:
    client.mail(ANNA, sender=SENDER)
    return client.data(f"Received: from {SECRET} by b.test; now\r\n".encode() * 50 + HEAD)


def while_the_database_is_locked(client: Client) -> str:
    with locked():
        return data(b"x\r\n")(client)


CASES: dict[str, Case] = {
    "UNSURE": Case(while_the_database_is_locked, {"commit": 0.1}),
    "PRIMARY_UP": Case(rcpt(ANNA), before=healthy),
    "UNKNOWN_PUT_OFF": Case(rcpt(f"{SECRET}@example.test"), before=lambda: set_domain(recipient_policy="defer")),
    "FULL": Case(mail(""), {"disk_floor": 2**60}),
    "TOO_MANY_RECIPIENTS": Case(rcpt(ANNA, ANNA), {"recipients": 1}),
    "HARVEST": Case(rcpt(f"{SECRET}@example.test", f"{SECRET}2@example.test"), {"harvest": 1, "tarpit": 0.0}),
    "TOO_MANY_SESSIONS": Case(lambda client: client.greeting, {"sessions": 0}),
    "TOO_MANY_ERRORS": Case(second_reply, {"errors_hard": 1}),
    "TOO_MANY_COMMANDS": Case(line("NOOP"), {"commands": 1}),  # EHLO was the first
    "IDLE": Case(lambda client: client.reply(), {"idle": 0.1}),
    "TOO_SLOW": Case(unfinished, {"data_grace": 0.0, "data_rate": 1e9}),
    "FOREIGN": Case(rcpt(f"{SECRET}@outside.test")),
    "UNKNOWN": Case(rcpt(f"{SECRET}@example.test")),
    "TOO_LARGE": Case(mail(" SIZE=99999999")),
    "BARE_OCTETS": Case(data(f"{SECRET}\nx\r\n".encode())),
    "LINE_TOO_LONG": Case(data(SECRET.encode() * 1000 + b"\r\n"), {"line": 1000}),
    "LOOP": Case(data_with_hops),
    "SYNTAX": Case(line(f"{SECRET}\0")),
    "COMMAND_TOO_LONG": Case(line(f"NOOP {SECRET * 1000}")),
    "UNKNOWN_COMMAND": Case(line(SECRET)),
    "NOT_OFFERED": Case(line(f"EXPN {SECRET}")),
    "NO_TLS": Case(line("STARTTLS")),
    "BAD_ARGUMENT": Case(line(f"RSET {SECRET}")),
    "BAD_PARAMETER": Case(mail(f" {SECRET}=1")),
    "BAD_SENDER": Case(mail("", SECRET)),
    "BAD_RECIPIENT": Case(rcpt(f"{SECRET}..x@example.test")),
    "NEEDS_SMTPUTF8": Case(mail("", f"{SECRET}ä@outside.test")),
    "BAD_SEQUENCE": Case(line(f"RCPT TO:<{SECRET}@example.test>")),
    "NO_RECIPIENTS": Case(without_recipients),
    "OUT_OF_STEP": Case(line(f"DATA\r\n{SECRET}")),
}


def provoke(case: Case) -> str:
    case.before()
    with ServerInThread(**case.limits) as server, server.client(hello=False) as client:
        if client.greeting.startswith("220"):
            client.say(f"EHLO {SECRET}.test")
        heard = case.act(client)
    server.server.counters.flush()
    return heard


def reasons() -> dict[str, Reply]:
    return {name: reply for name, reply in vars(replies).items() if isinstance(reply, Reply) and reply.reason}


@pytest.mark.pure
def test_every_reply_with_a_reason_has_its_case() -> None:
    assert set(CASES) | {"SHUTTING_DOWN"} == set(reasons())


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_said_exactly_counted_and_logged_without_content(
    anna: Mailbox, caplog: pytest.LogCaptureFixture, settings: Any, name: str
) -> None:
    reply = reasons()[name]
    with caplog.at_level(logging.DEBUG):
        assert provoke(CASES[name]) == reply.line.decode().rstrip()
    assert Counter.objects.get(name=f"smtpd.refused.{reply.reason}").value == 1
    settings.METRICS_TOKEN = "token"
    page = Browser().get("/metrics", headers={"Authorization": "Bearer token"}).content.decode()
    assert f'einbox_counted_total{{name="smtpd.refused.{reply.reason}"}} 1.0' in page
    assert f"refused: {reply.reason} ({reply.code} {reply.enhanced}) for 127.0.0.1" in caplog.text
    assert SECRET not in caplog.text + page


def test_the_end_of_the_server_is_said_and_counted(anna: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), ServerInThread() as server, server.client() as client:
        server.stop()
        assert client.reply() == "421 4.3.2 Shutting down; try again soon"
    server.server.counters.flush()
    assert Counter.objects.get(name="smtpd.refused.shutdown").value == 1
    assert "refused: shutdown (421 4.3.2)" in caplog.text
