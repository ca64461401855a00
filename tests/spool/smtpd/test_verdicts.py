"""The verdict at RCPT for every state of a route and every policy."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.enums import Role
from accounts.models.user import User
from spool.enums import OutageKind, RecipientPolicy, RouteState, WhileUp
from spool.models import Delivery, Domain, Mailbox, MailboxAlias, Outage, Route
from spool.smtpd.beat import ask_for_probes
from tests.doubles.smtpd import Client, ServerInThread
from tests.factories.spool import make_mailbox, make_raw


def set_route(**fields: object) -> Route:
    Route.objects.filter(name="example.test").update(**fields)
    return Route.objects.get(name="example.test")


def set_domain(**fields: object) -> None:
    Domain.objects.filter(name="example.test").update(**fields)


def healthy() -> Route:
    return set_route(state=RouteState.UP, confirmed_at=timezone.now())


@pytest.mark.parametrize("recipient", ["anna@example.test", "nobody@example.test", "postmaster@example.test"])
def test_while_the_primary_is_up_everybody_is_put_off(server: ServerInThread, recipient: str) -> None:
    healthy()
    server.refresh()
    with server.client() as client:
        assert client.mail(recipient) == ["451 4.7.1 The primary mail server is up; deliver there"]
        assert client.say("DATA").startswith("554 5.5.1")


@pytest.mark.parametrize(
    "fields",
    [
        {"state": RouteState.SUSPECT},
        {"state": RouteState.DOWN},
        {"state": RouteState.RECOVERING},
        {"state": RouteState.UP, "confirmed_at": None},
        {"state": RouteState.UP, "confirmed_at": timezone.now() - timedelta(seconds=61)},
        {"state": RouteState.UP, "confirmed_at": timezone.now() + timedelta(hours=1)},
    ],
    ids=["suspect", "down", "recovering", "never confirmed", "stale", "confirmed before the clock was set back"],
)
def test_in_every_other_state_mail_is_taken_and_shown(server: ServerInThread, fields: dict[str, object]) -> None:
    set_route(**fields)
    server.refresh()
    with server.client() as client:
        assert [reply[:9] for reply in client.mail("anna@example.test", "no@example.test")] == [
            "250 2.1.5",
            "550 5.1.1",
        ]
        assert client.data(make_raw()).startswith("250")
    assert Delivery.objects.get().visible_at is not None


@pytest.mark.parametrize("kind", [OutageKind.DECLARED, OutageKind.PLANNED])
def test_a_declared_outage_opens_intake_whatever_the_probes_say(server: ServerInThread, kind: OutageKind) -> None:
    Outage.objects.create(route=healthy(), kind=kind, opened_at=timezone.now())
    server.refresh()
    with server.client() as client:
        assert client.mail("anna@example.test")[0].startswith("250")


def test_relay_takes_mail_while_the_primary_is_up_and_hides_it(server: ServerInThread) -> None:
    healthy()
    set_domain(while_up=WhileUp.RELAY)
    server.refresh()
    with server.client() as client:
        assert client.mail("anna@example.test")[0].startswith("250")
        assert client.data(make_raw()).startswith("250")
    assert Delivery.objects.get().visible_at is None


def test_the_verdict_holds_for_the_whole_transaction(server: ServerInThread) -> None:
    make_mailbox("ben@example.test")
    server.refresh()
    with server.client() as client:
        assert client.mail("anna@example.test")[0].startswith("250")
        healthy()
        server.refresh()
        assert client.say("RCPT TO:<ben@example.test>").startswith("250")
        assert client.data(make_raw()).startswith("250")
        assert client.mail("anna@example.test")[0].startswith("451 4.7.1")
    assert Delivery.objects.count() == 2


def test_a_client_that_cannot_reach_the_primary_is_taken_after_ten_minutes(server: ServerInThread) -> None:
    healthy()
    server.refresh()
    with server.client(source="127.0.0.1") as client:
        assert client.mail("anna@example.test")[0].startswith("451")
        for key in list(server.server.put_off._first):
            server.server.put_off._first[key] -= 601
    with server.client(source="127.0.0.9") as neighbour:
        assert neighbour.mail("anna@example.test")[0].startswith("250")
    with server.client(source="127.0.0.9") as client:
        assert client.mail("anna@example.test", sender="other@outside.test")[0].startswith("451")
    with server.client(source="127.0.1.9") as stranger:
        assert stranger.mail("anna@example.test")[0].startswith("451")


def test_a_sender_who_arrives_has_the_primary_looked_at(server: ServerInThread, client: Client) -> None:
    route = set_route(state=RouteState.SUSPECT)
    server.refresh()
    client.mail("anna@example.test")
    assert server.server.wanted == {route.pk}
    ask_for_probes(server.server)
    first = Route.objects.get(pk=route.pk).probe_wanted_at
    assert first is not None
    client.say("RSET")
    client.mail("anna@example.test")
    ask_for_probes(server.server)
    assert Route.objects.get(pk=route.pk).probe_wanted_at == first  # once a second is enough


@pytest.mark.parametrize(
    ("policy", "reply"),
    [
        (RecipientPolicy.REJECT, "550 5.1.1"),
        (RecipientPolicy.DEFER, "450 4.1.1"),
        (RecipientPolicy.ACCEPT, "250 2.1.5"),
    ],
)
def test_unknown_recipients_get_what_the_policy_says(
    server: ServerInThread, policy: RecipientPolicy, reply: str
) -> None:
    set_domain(recipient_policy=policy)
    server.refresh()
    with server.client() as client:
        [heard] = client.mail("nobody@example.test")
        assert heard.startswith(reply)
        if policy == RecipientPolicy.ACCEPT:
            assert client.data(make_raw()).startswith("250")
            delivery = Delivery.objects.get()
            assert (delivery.mailbox, delivery.unknown_recipient) == (None, True)


def test_the_dropbox_gets_mail_for_unknown_recipients(server: ServerInThread) -> None:
    desk = make_mailbox("desk@example.test", shared=True)
    set_domain(recipient_policy=RecipientPolicy.DROPBOX, dropbox=desk)
    server.refresh()
    with server.client() as client:
        assert client.transaction(make_raw(), "nobody@example.test").startswith("250")
    delivery = Delivery.objects.get()
    assert (delivery.mailbox, delivery.unknown_recipient, delivery.forward_path) == (desk, True, "nobody@example.test")


@pytest.mark.parametrize("address", ["postmaster@example.test", "POSTMASTER@example.test", "postmaster"])
def test_postmaster_is_never_refused(server: ServerInThread, address: str) -> None:
    with server.client() as client:
        assert client.mail(address)[0].startswith("250")
        assert client.data(make_raw()).startswith("250")
    assert Delivery.objects.get().unknown_recipient


def test_postmaster_reaches_an_admin(server: ServerInThread) -> None:
    admin = User.objects.create(email="chief@example.test", role=Role.ADMIN)
    mailbox = make_mailbox("chief@example.test", user=admin)
    server.refresh()
    with server.client() as client:
        client.transaction(make_raw(), "postmaster@example.test")
    assert Delivery.objects.get().mailbox == mailbox


def test_the_null_sender_is_taken(client: Client) -> None:
    assert client.mail("anna@example.test", sender="")[0].startswith("250")
    assert client.data(make_raw()).startswith("250")


def test_vrfy_and_expn_tell_nothing(client: Client, anna: Mailbox) -> None:
    assert client.say(f"VRFY {anna.address}") == client.say("VRFY nobody@example.test")
    assert client.say("VRFY anna").startswith("252 2.0.0")
    for command in ("EXPN staff", "HELP", "AUTH PLAIN AAAA"):
        assert client.say(command).startswith("502 5.5.1"), command
    assert client.say("BDAT 10 LAST").startswith("500 5.5.1")


def test_a_change_of_addresses_is_seen_within_five_seconds(server: ServerInThread) -> None:
    from tests.waiting import wait_for

    server.views.start()
    try:
        make_mailbox("new@example.test")

        def known() -> bool:
            with server.client() as client:
                return client.mail("new@example.test")[0].startswith("250")

        wait_for(known, 5, every=0.2)
    finally:
        server.views.stop()
        server.views.join(10)


def test_a_catch_all_comes_before_the_policy_and_its_mail_keeps_its_recipient(server: ServerInThread) -> None:
    info = make_mailbox("info@example.test")
    MailboxAlias.objects.create(address="@example.test", mailbox=info)
    server.refresh()
    with server.client() as client:
        assert client.mail("Nobody@example.test", "a%b@example.test", "nobody@other.test")[0].startswith("250")
        assert client.data(make_raw()).startswith("250")
    delivery = Delivery.objects.get()
    assert (delivery.mailbox, delivery.unknown_recipient, delivery.forward_path) == (info, False, "Nobody@example.test")
