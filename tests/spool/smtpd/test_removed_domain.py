"""A domain is removed while senders talk to a real server: nothing that got a 250 is lost, then it is foreign."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection
from django.utils import timezone

from spool.enums import DeliveryState, Direction, RouteState, TlsPolicy, WhileUp
from spool.models import Delivery, Domain, Mailbox, Route
from spool.queue import domains, removal, scope
from spool.queue.domains import DomainError, Host, Settings
from spool.queue.drain import Drain
from tests.doubles.primary import Primary
from tests.doubles.smtpd import Client, ServerInThread, SmtpdProcess
from tests.factories.spool import make_raw
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 4
FIRST_PAUSE = 0.02  # seconds


def settings_for(primary: Primary) -> Settings:
    hosts = (Host("127.0.0.1", primary.port),)
    return Settings(hosts=hosts, tls=TlsPolicy.NONE, while_up=WhileUp.RELAY)


def protect(primary: Primary) -> None:
    """The primary is up, and mail is taken and passed on all the same."""
    domains.change("example.test", settings_for(primary), now=timezone.now())
    Route.objects.filter(name="example.test").update(state=RouteState.UP, confirmed_at=None)


def remove() -> bool:
    try:
        removal.remove("example.test", reason="test", now=timezone.now())
    except DomainError:
        return False
    return True


def drain_all() -> None:
    """As the sweep does, here and now."""
    for route in scope.routes():
        Drain(route, Direction.INBOUND).run()


def asked(address: tuple[str, int]) -> str:
    """The codes of the reply to RCPT."""
    with Client(address) as client:
        return client.mail("anna@example.test")[0][:9]


def test_mail_begun_before_a_removal_gets_its_250_and_goes_home_then_the_domain_is_foreign(
    anna: Mailbox, tmp_path: Path
) -> None:
    with Primary() as primary:
        protect(primary)
        with SmtpdProcess(tmp_path) as process, Client(process.address) as client:
            assert client.mail("anna@example.test")[0].startswith("250")
            assert client.say("DATA").startswith("354")
            assert remove()
            client.send(make_raw() + b".\r\n")
            assert client.reply().startswith("250")
            wait_for(lambda: asked(process.address) == "550 5.7.1", every=0.2, what="smtpd to see the removal")
            drain_all()
            assert [kept.recipients for kept in primary.kept] == [("anna@example.test",)]
            domains.add("example.test", settings_for(primary), now=timezone.now())
            wait_for(lambda: asked(process.address) == "250 2.1.5", every=0.2, what="smtpd to see the domain again")
            assert client.transaction(make_raw(), "anna@example.test").startswith("250")
        drain_all()
        assert len(primary.kept) == 2


@pytest.mark.untraced
def test_nothing_is_lost_or_doubled_while_a_domain_comes_and_goes(
    anna: Mailbox, server: ServerInThread, settings: LazySettings
) -> None:
    settings.SAFETY_COPY_HOURS = 0
    traffic = Traffic(server)
    with Primary() as primary, ThreadPoolExecutor(3) as pool:
        protect(primary)
        server.refresh()
        senders = [pool.submit(traffic.send_on) for _ in range(3)]
        try:
            for _ in range(ROUNDS):
                come_and_go(primary, traffic)
        finally:
            traffic.over.set()
        accepted = [octets for sender in senders for octets in sender.result(30)]
        drain_all()
        arrived = [b"From:" + kept.octets.partition(b"From:")[2] for kept in primary.kept]
    assert sorted(arrived) == sorted(accepted)
    assert set(Delivery.objects.values_list("state", flat=True)) == {DeliveryState.DELIVERED}
    assert Domain.objects.filter(name="example.test").exists()


@dataclass
class Traffic:
    """Senders that pause longer after each mail, so that a gap between two of them comes on any machine."""

    server: ServerInThread
    over: threading.Event = field(default_factory=threading.Event)
    pause: float = FIRST_PAUSE

    def send_on(self) -> list[bytes]:
        """Send until `over`; what got a 250."""
        accepted = []
        try:
            while not self.over.is_set():
                with self.server.client() as client:  # a session of its own: errors of one end it
                    raw = make_raw()
                    if client.mail("anna@example.test")[0].startswith("250") and client.data(raw).startswith("250"):
                        accepted.append(raw)
                        self.pause = min(2.0, self.pause * 1.1)
                self.over.wait(self.pause)
        finally:
            connection.close()
        return accepted


def removed_between_two_mails() -> bool:
    drain_all()  # goes on while mail comes
    return remove()


def come_and_go(primary: Primary, traffic: Traffic) -> None:
    """Remove the domain between two mails, let the server see that late, and add it again."""
    before = Delivery.objects.count()
    wait_for(lambda: Delivery.objects.count() > before, what="mail")
    wait_for(removed_between_two_mails, seconds=30, every=0, what="a moment without mail on its way")
    traffic.pause = FIRST_PAUSE
    traffic.server.refresh()
    domains.add("example.test", settings_for(primary), now=timezone.now())
    traffic.server.refresh()
