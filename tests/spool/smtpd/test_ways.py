"""What each policy does from the sender's socket to the primary's: mail goes home or waits for a person, never back."""

from collections.abc import Iterator

import pytest
from django.test import Client
from django.utils import timezone

from spool.enums import DeliveryState, Direction, RecipientPolicy, RouteState, WhileUp
from spool.models import Delivery, Domain, Mailbox, MailboxAlias, Message, Route
from spool.queue.drain import Drain
from tests.doubles.primary import Primary, reply
from tests.doubles.smtpd import ServerInThread
from tests.factories.accounts import log_in, make_user
from tests.factories.spool import make_mailbox, make_raw

GONE = "550 5.1.1 nobody here"


@pytest.fixture
def primary(anna: Mailbox) -> Iterator[Primary]:
    """The primary of example.test: down as the route has it, back when `home` is called."""
    with Primary() as running:
        anna.domain.route.hosts.update(port=running.port)
        yield running


def set_domain(**fields: object) -> None:
    Domain.objects.filter(name="example.test").update(**fields)


def send(*recipients: str, raw: bytes | None = None, sender: str = "forged@outside.test") -> bytes:
    """Mail over a real socket to a server that reads the database as it is; every recipient is taken."""
    raw = raw or make_raw()
    with ServerInThread() as server, server.client() as client:
        assert [reply[:3] for reply in client.mail(*recipients, sender=sender)] == ["250"] * len(recipients)
        assert client.data(raw).startswith("250")
    return raw


def home() -> None:
    Route.objects.filter(name="example.test").update(state=RouteState.RECOVERING)
    Drain(Route.objects.get(name="example.test"), Direction.INBOUND).run()


def nothing_went_out() -> bool:
    """No message of our own making, none to outside."""
    return Message.objects.count() == 1 and not Delivery.objects.filter(direction=Direction.OUTBOUND).exists()


@pytest.mark.parametrize("way", ["accept", "dropbox", "postmaster", "bare postmaster", "catch-all"])
@pytest.mark.parametrize("verdict", ["taken", "refused"])
def test_mail_for_unknown_addresses_goes_home_or_waits_for_a_person(
    primary: Primary, anna: Mailbox, way: str, verdict: str
) -> None:
    desk = make_mailbox("desk@example.test", shared=True)
    shown: Mailbox | None = None
    recipient = "Nobody@example.test"
    if way == "accept":
        set_domain(recipient_policy=RecipientPolicy.ACCEPT)
    elif way == "dropbox":
        set_domain(recipient_policy=RecipientPolicy.DROPBOX, dropbox=desk)
        shown = desk
    elif way == "catch-all":
        MailboxAlias.objects.create(address="@example.test", mailbox=anna)
        shown = anna
    else:
        recipient = "postmaster@example.test"
    raw = send("postmaster" if way == "bare postmaster" else recipient)
    waiting = Delivery.objects.get()
    assert (waiting.mailbox, waiting.forward_path, waiting.state) == (shown, recipient, "queued")
    assert waiting.visible_at is not None
    if verdict == "refused":
        primary.on("rcpt", reply(GONE))
    home()
    waiting.refresh_from_db()
    if verdict == "taken":
        assert waiting.state == DeliveryState.DELIVERED
        [kept] = primary.kept
        assert (kept.recipients, kept.sender, kept.octets.endswith(raw)) == ((recipient,), "forged@outside.test", True)
    else:
        assert (waiting.state, waiting.last_code) == (DeliveryState.REVIEW, 550)
        assert not primary.kept
    assert nothing_went_out()


def test_the_dropbox_shows_mail_of_unknown_addresses_to_its_members_alone(anna: Mailbox) -> None:
    desk = make_mailbox("desk@example.test", shared=True)
    member, stranger = make_user(email="member@example.test"), make_user(email="stranger@example.test")
    desk.members.create(user=member)
    set_domain(recipient_policy=RecipientPolicy.DROPBOX, dropbox=desk)
    send("nobody@example.test", raw=b"Subject: for a name nobody has\r\n\r\nhello\r\n")
    for user, seen in ((member, True), (stranger, False)):
        page = log_in(Client(), user).get("/").content
        assert (b"for a name nobody has" in page) is seen, user.email


@pytest.mark.parametrize("sender", ["forged@outside.test", ""])
def test_relay_passes_on_at_once_while_the_primary_is_up_and_shows_only_what_it_did_not_take(
    primary: Primary, sender: str
) -> None:
    Route.objects.filter(name="example.test").update(state=RouteState.UP, confirmed_at=timezone.now())
    set_domain(while_up=WhileUp.RELAY)
    raw = send("anna@example.test", sender=sender)
    delivery = Delivery.objects.get()
    assert delivery.visible_at is None
    primary.on("rcpt", reply("451 4.2.1 busy"), times=1)
    Drain(Route.objects.get(name="example.test"), Direction.INBOUND).run()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.visible_at is None) == (DeliveryState.QUEUED, False)
    Delivery.objects.update(next_attempt_at=timezone.now())
    Drain(Route.objects.get(name="example.test"), Direction.INBOUND).run()
    [kept] = primary.kept
    assert (kept.sender, kept.recipients, kept.octets.endswith(raw)) == (sender, ("anna@example.test",), True)


@pytest.mark.usefixtures("anna")
def test_relay_still_asks_the_policy_and_never_takes_foreign_domains() -> None:
    Route.objects.filter(name="example.test").update(state=RouteState.UP, confirmed_at=timezone.now())
    set_domain(while_up=WhileUp.RELAY)
    with ServerInThread() as server, server.client() as client:
        replies = client.mail("nobody@example.test", "a@outside.test", "a%outside.test@example.test")
        assert [one[:9] for one in replies] == ["550 5.1.1", "550 5.7.1", "550 5.7.1"]


def test_all_policies_share_one_queue_of_review_for_persons(primary: Primary) -> None:
    set_domain(recipient_policy=RecipientPolicy.ACCEPT)
    primary.on("rcpt", reply(GONE), recipient="nobody@example.test")
    send("nobody@example.test", "anna@example.test")
    home()
    states = dict(Delivery.objects.values_list("forward_path", "state"))
    assert states == {"nobody@example.test": "review", "anna@example.test": "delivered"}
    home()  # what waits for a person is not tried again
    assert len(primary.kept) == 1
    assert nothing_went_out()
