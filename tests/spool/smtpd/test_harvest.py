"""Who asks for many unknown recipients gets slower, then 421, over all sessions of a client network."""

import time

import pytest

from spool.enums import RecipientPolicy
from spool.models import Domain
from spool.smtpd.harvest import HOUR, Harvest
from spool.smtpd.policy import network
from tests.doubles.smtpd import ServerInThread
from tests.factories.spool import make_raw

FULL = "421 4.7.0 Too many unknown recipients; try again later"


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (RecipientPolicy.REJECT, "550 5.1.1 No such recipient"),
        (RecipientPolicy.DEFER, "450 4.1.1 Recipient not known here yet; try again later"),
    ],
)
def test_unknown_recipients_are_counted_over_sessions_then_everybody_gets_421(
    policy: RecipientPolicy, told: str
) -> None:
    Domain.objects.update(recipient_policy=policy)
    with ServerInThread(harvest=6, tarpit=0.01) as server:
        for session in range(3):
            with server.client() as client:
                assert client.mail(f"a{session}@example.test", f"b{session}@example.test") == [told, told]
        for recipient in ("anna@example.test", "c@example.test"):  # the answer does not tell which of them exists
            with server.client() as client:
                assert client.mail(recipient) == [FULL]
                assert client.closed()
        with server.client(source="127.0.0.9") as other:
            assert other.mail("anna@example.test")[0].startswith("250")
        assert server.server.counters._waiting["refused.harvest"] == 2


@pytest.mark.usefixtures("anna")
def test_answers_come_late_from_half_the_limit_in_every_session() -> None:
    with ServerInThread(harvest=4, tarpit=0.3) as server:
        for number in range(4):
            began = time.monotonic()
            with server.client() as client:
                assert client.mail(f"x{number}@example.test")[0].startswith("550 5.1.1")
            assert number < 2 or time.monotonic() - began >= 0.3  # never too short, however slow the machine


@pytest.mark.usefixtures("anna")
def test_accepted_mail_makes_up_for_unknown_recipients() -> None:
    with ServerInThread(harvest=2, tarpit=0.01) as server, server.client() as client:
        for number in range(4):  # a filter in front of einbox passes everything on
            replies = client.mail(f"x{number}@example.test", "anna@example.test")
            assert [reply[:9] for reply in replies] == ["550 5.1.1", "250 2.1.5"]
            assert client.data(make_raw()).startswith("250")


@pytest.mark.usefixtures("anna")
def test_without_a_limit_nothing_is_counted() -> None:
    with ServerInThread(harvest=0, errors_soft=100, errors_hard=100) as server, server.client() as client:
        names = [f"x{number}@example.test" for number in range(50)]
        assert {reply[:9] for reply in client.mail(*names, "anna@example.test")} == {"550 5.1.1", "250 2.1.5"}


@pytest.mark.pure
def test_the_count_leaks_away_within_an_hour_and_its_memory_is_bounded() -> None:
    harvest = Harvest(10, size=3)
    assert [harvest.unknown("a", 0.0) for _ in range(10)] == [False] * 5 + [True] * 5
    assert harvest.full("a", 1.0)
    assert not harvest.full("a", HOUR / 10 + 1)  # one has leaked
    assert not harvest.unknown("a", HOUR + 1)
    for client in "bcd":
        harvest.unknown(client, HOUR + 1)
    assert len(harvest._levels) == 3


@pytest.mark.pure
def test_a_client_is_one_ipv4_address_or_one_ipv6_64() -> None:
    assert network("2001:db8:1:2::1", v4=32) == network("2001:db8:1:2:ffff::9", v4=32)
    assert network("2001:db8:1:2::1", v4=32) != network("2001:db8:1:3::1", v4=32)
    assert network("192.0.2.1", v4=32) != network("192.0.2.2", v4=32)
    assert network("::ffff:192.0.2.1", v4=32) == network("192.0.2.1", v4=32)
