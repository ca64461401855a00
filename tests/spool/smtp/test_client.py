"""One transaction gives one result per recipient, whatever a real server does."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.smtp.client import ConnectError, ContentError, Endpoint, Envelope, Result, Timers, connect, stuff
from spool.smtp.replies import Outcome, Phase
from tests.doubles.primary import Act, Primary, close, drop, hang, reply
from tests.spool.smtp.certificates import make_certificate, server_context

pytestmark = pytest.mark.pure

CONTENT = b"Subject: x\r\n\r\n.\r\n..\r\ntext\r\n"
D, T, P, A = Outcome.DELIVERED, Outcome.TRANSIENT, Outcome.PERMANENT, Outcome.AMBIGUOUS
QUICK = Timers(**dict.fromkeys(vars(Timers()), 0.4))
PLAIN = ("8BITMIME", "SMTPUTF8")
PIPELINED = ("PIPELINING", *PLAIN)


def deliver(primary: Primary, *recipients: str, content: bytes = CONTENT, tls: str = "none") -> list[Result]:
    connection = connect(Endpoint("127.0.0.1", primary.port, tls=tls), helo="einbox.test", timers=QUICK)
    try:
        return connection.send(Envelope("s@outside.test", recipients or ("a@c.test", "b@c.test")), content)
    finally:
        connection.close()


# What a is told, what b is told (None: 250) at which phase, and what becomes of each.
TABLE: list[tuple[str, Act | None, Act | None, Outcome, Outcome]] = [
    ("rcpt", None, None, D, D),
    ("rcpt", reply("450 4.2.1 busy"), None, T, D),
    ("rcpt", reply("451 4.3.0 later"), reply("451 4.3.0 later"), T, T),
    ("rcpt", reply("452 4.5.3 too many"), None, T, D),
    ("rcpt", reply("550 5.1.1 nobody"), None, P, D),
    ("rcpt", reply("550 5.1.1 nobody"), reply("450 4.2.1 busy"), P, T),
    ("rcpt", reply("550 5.1.1 nobody"), reply("553 5.1.3 bad"), P, P),
    ("rcpt", reply("552 5.2.2 full"), None, T, D),
    ("rcpt", None, reply("421 4.3.2 going down", then_close=True), T, T),
    ("rcpt", reply("550 5.1.1 nobody"), reply("421 4.3.2 down", then_close=True), P, T),
    ("rcpt", None, hang(), T, T),
    ("rcpt", reply("550 5.1.1 nobody"), drop(), P, T),
    ("mail", reply("451 4.3.0 later"), None, T, T),
    ("mail", reply("550 5.7.1 not you"), None, P, P),
    ("mail", reply("530 5.7.0 authenticate"), None, T, T),
    ("mail", hang(), None, T, T),
    ("data", reply("451 4.3.0 later"), None, T, T),
    ("data", reply("554 5.6.0 no"), None, P, P),
    ("content", drop(after=4), None, T, T),
    ("dot", reply("451 4.3.0 later"), None, T, T),
    ("dot", reply("554 5.6.0 spam"), None, P, P),
    ("dot", hang(), None, A, A),
    ("dot", drop(), None, A, A),
    ("dot", close(), None, A, A),
]


@pytest.mark.parametrize("extensions", [PLAIN, PIPELINED], ids=["one-by-one", "pipelining"])
@pytest.mark.parametrize(("phase", "a", "b", "outcome_a", "outcome_b"), TABLE)
def test_outcome_per_recipient(
    phase: str, a: Act | None, b: Act | None, outcome_a: Outcome, outcome_b: Outcome, extensions: tuple[str, ...]
) -> None:
    # Large enough that a server which stops reading is noticed before the final dot is written.
    content = CONTENT + b"x" * 998 + b"\r\n" if phase != "content" else CONTENT + (b"x" * 998 + b"\r\n") * 40_000
    with Primary(extensions=extensions) as primary:
        for recipient, act in (("a@c.test", a), ("b@c.test", b)):
            if act:
                primary.on(phase, act, recipient=recipient if phase == "rcpt" else None)
        result_a, result_b = deliver(primary, content=content)
        assert (result_a.outcome, result_b.outcome) == (outcome_a, outcome_b)
        expected = {result.recipient for result in (result_a, result_b) if result.outcome is D}
        assert {recipient for kept in primary.kept if kept.answered for recipient in kept.recipients} == expected
        if phase == "rcpt" and a and a.kind == "reply":
            assert (result_a.code, result_a.enhanced) == (int(a.text[:3]), a.text.split()[1])


@pytest.mark.parametrize("extensions", [PLAIN, PIPELINED], ids=["one-by-one", "pipelining"])
def test_a_connection_serves_on_after_every_kind_of_refusal(extensions: tuple[str, ...]) -> None:
    with Primary(extensions=extensions) as primary:
        connection = connect(Endpoint("127.0.0.1", primary.port), helo="einbox.test", timers=QUICK)
        for phase, act in (
            ("rcpt", reply("550 5.1.1 nobody")),
            ("mail", reply("451 4.3.0 later")),
            ("data", reply("451 4.3.0 later")),
            ("dot", reply("554 5.6.0 no")),
        ):
            primary.on(phase, act, times=1)
            (refused,) = connection.send(Envelope("", ("a@c.test",)), CONTENT)
            assert refused.outcome is not D
            (taken,) = connection.send(Envelope("", ("a@c.test",)), CONTENT)
            assert taken.outcome is D
        connection.close()
        assert primary.connections == 1
        assert [kept.octets for kept in primary.kept] == [CONTENT] * 4


@pytest.mark.parametrize("phase", ["greeting", "ehlo"])
@pytest.mark.parametrize("act", [hang(), drop(), reply("421 4.3.2 no", then_close=True), reply("554 5.3.2 no")])
def test_a_host_that_refuses_the_session_says_nothing_about_mail(phase: str, act: Act) -> None:
    with Primary() as primary:
        primary.on(phase, act)
        with pytest.raises(ConnectError) as caught:
            deliver(primary)
        assert caught.value.phase == phase


def test_a_tarpit_meets_the_timer() -> None:
    with Primary() as primary:
        primary.on("greeting", reply("220 " + "slow " * 20, pace=0.05))
        with pytest.raises(ConnectError, match="timed out"):
            deliver(primary)


def test_nobody_listens() -> None:
    primary = Primary().start()
    primary.stop()
    with pytest.raises(ConnectError, match="refused") as caught:
        deliver(primary)
    assert caught.value.phase is Phase.CONNECT


@pytest.mark.parametrize(
    ("extensions", "content"),
    [((), "Grüße\r\n".encode()), (("8BITMIME",), "Subject: Grüße\r\n\r\nx\r\n".encode()), (("SIZE 10",), CONTENT)],
    ids=["8BITMIME", "SMTPUTF8", "SIZE"],
)
def test_mail_the_server_cannot_carry_is_not_converted(extensions: tuple[str, ...], content: bytes) -> None:
    with Primary(extensions=extensions) as primary:
        (result, _) = deliver(primary, content=b"Subject: x\r\n\r\n" + content if not extensions else content)
        assert result.uncarriable
        assert result.outcome is T
        assert primary.kept == []


def test_parameters_of_mail_from() -> None:
    with Primary() as primary:
        deliver(primary, "ü@c.test", content="Subject: Grüße\r\n\r\nx\r\n".encode())
        assert primary.kept[0].options == ("SIZE=23", "BODY=8BITMIME", "SMTPUTF8")


@pytest.mark.parametrize("size", ["9" * 5_000, "²", "-1", ""])
def test_a_limit_that_is_no_number_is_none(size: str) -> None:
    with Primary(extensions=(f"SIZE {size}",)) as primary:
        assert [result.outcome for result in deliver(primary)] == [D, D]


def test_angle_brackets_inside_quotes_are_carried_and_others_never() -> None:
    with Primary() as primary:
        assert deliver(primary, '"a>b"@c.test')[0].outcome is D
        for address in ("a>b@c.test", '"a"b>@c.test', '"a>\\"@c.test', '"a\r\n>"@c.test'):
            with pytest.raises(ContentError):
                deliver(primary, address)


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r", b"a\r\r\n", b"\n"])
def test_bare_line_ends_never_leave(content: bytes) -> None:
    with Primary() as primary:
        with pytest.raises(ContentError):
            deliver(primary, content=content)
        assert not [command for command in primary.commands if command.startswith("MAIL")]


def test_an_address_cannot_carry_a_command() -> None:
    with Primary() as primary, pytest.raises(ContentError):
        deliver(primary, "a@c.test>\r\nRSET\r\n<b@c.test")


@given(st.lists(st.sampled_from([b".", b"..", b"", b"a.", b".a"]), max_size=8).map(b"\r\n".join))
def test_dot_stuffing_never_ends_early_and_undoes(content: bytes) -> None:
    stuffed = stuff(content)
    assert b"\r\n.\r\n" not in b"\r\n" + stuffed
    undone = (b"\r\n" + stuffed).replace(b"\r\n..", b"\r\n.")[2:]
    assert undone == (content if not content or content.endswith(b"\r\n") else content + b"\r\n")


# --- TLS and AUTH ----------------------------------------------------------------------------------------------
def test_opportunistic_tls_is_used_and_falls_back(tmp_path: Path) -> None:
    with Primary(tls=server_context(make_certificate(tmp_path))) as primary:
        assert [result.outcome for result in deliver(primary, tls="opportunistic")] == [D, D]
        primary.on("starttls", reply("454 4.7.0 not now"))
        deliver(primary, tls="opportunistic")
        assert [kept.tls for kept in primary.kept] == [True, False]


@pytest.mark.parametrize("case", ["not offered", "refused", "unknown authority", "wrong name", "expired"])
def test_required_tls_fails_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    address, days = ("127.0.0.9" if case == "wrong name" else "127.0.0.1"), (-1 if case == "expired" else 1)
    certificate = make_certificate(tmp_path, address=address, days=days)
    if case != "unknown authority":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Primary(tls=None if case == "not offered" else server_context(certificate)) as primary:
        if case == "refused":
            primary.on("starttls", reply("454 4.7.0 not now"))
        with pytest.raises(ConnectError) as caught:
            deliver(primary, tls="required")
        assert caught.value.phase is Phase.STARTTLS
        assert not [command for command in primary.commands if command.startswith("MAIL")]


def test_required_tls_delivers_to_a_verified_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Primary(tls=server_context(certificate)) as primary:
        assert [result.outcome for result in deliver(primary, tls="required")] == [D, D]
        assert primary.kept[0].tls


@pytest.mark.parametrize(
    "repeated",
    [
        '500 5.5.1 unknown: "AUTH PLAIN AHUAb3VyIHNlY3JldA=="',
        "535 5.7.8 no: b3VyIHNlY3JldA==",
        "535 5.7.8 not 'our secret'",
        "AUTH PLAIN AHUAb3VyIHNlY3JldA==",
    ],
)
def test_a_password_that_the_server_repeats_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeated: str
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Primary(tls=server_context(certificate), implicit_tls=True, credentials=("u", "right")) as primary:
        primary.on("auth", reply(repeated))
        endpoint = Endpoint("127.0.0.1", primary.port, "required", implicit_tls=True, user="u", password="our secret")
        with pytest.raises(ConnectError) as caught:
            connect(endpoint, helo="einbox.test", timers=QUICK)
    assert caught.value.phase is Phase.AUTH
    assert caught.value.code == (int(repeated[:3]) if repeated[0].isdigit() else None)
    assert not any(form in caught.value.text for form in ("AHUA", "b3Vy", "our secret"))


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Primary(tls=server_context(certificate), implicit_tls=True, credentials=("u", "right")) as primary:
        endpoint = Endpoint("127.0.0.1", primary.port, "required", implicit_tls=True, user="u", password=password)
        if password == "wrong":
            with pytest.raises(ConnectError) as caught:
                connect(endpoint, helo="einbox.test", timers=QUICK)
            assert caught.value.phase is Phase.AUTH
            assert "wrong" not in repr(endpoint)
            return
        connection = connect(endpoint, helo="einbox.test", timers=QUICK)
        assert connection.send(Envelope("", ("a@c.test",)), CONTENT)[0].outcome is D
        assert primary.authenticated == ["u"]
        connection.close()
