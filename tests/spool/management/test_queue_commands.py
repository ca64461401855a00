"""`manage.py queue` and `manage.py outage`: acts leave events of the operator, wrong ones change nothing."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import Event
from audit.tags import Tag
from spool.enums import DeliveryState, Direction, RouteState
from spool.ids import encode
from spool.models import Delivery, Message, Outage, Route
from spool.queue import content, queries
from spool.queue.drain import Drain
from spool.queue.ingest import Recipient
from spool.queue.outage import observe
from spool.queue.schedule import Evidence
from spool.webmail import access
from tests.doubles.primary import Primary
from tests.factories.accounts import make_user
from tests.factories.spool import make_delivery, make_domain, make_mailbox, make_message

pytestmark = pytest.mark.django_db(transaction=True)


def manage(*arguments: str) -> Any:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_list_and_show_hold_envelopes_and_no_content() -> None:
    delivery = make_delivery()
    (row,) = manage("queue", "list")
    assert (row["id"], row["to"], row["state"]) == (delivery.public_id, delivery.forward_path, "queued")
    for public_id in (delivery.public_id, delivery.message.public_id, delivery.public_id.lower()):
        (shown,) = manage("queue", "show", public_id)
        assert shown["tries"] == []
        assert "The figures" not in json.dumps(shown)
    assert manage("queue", "list", "--state", "delivered") == []
    assert manage("queue", "list", "--domain", "elsewhere.test") == []
    assert Event.objects.filter(tag=Tag.QUEUE_VIEWED.value).count() == 3


def test_hold_and_release() -> None:
    delivery = make_delivery()
    assert manage("queue", "hold", delivery.public_id, "--reason", "legal")[0]["held"]
    for act, why in (("hold", "held already"), ("retry", "release it first"), ("redeliver", "not finished")):
        with pytest.raises(CommandError, match=why):
            manage("queue", act, delivery.public_id, "--reason", "again")
    (released,) = manage("queue", "release", delivery.public_id, "--reason", "cleared")
    assert (released["held"], released["reason"]) == (False, "")  # "legal" was why it was held
    with pytest.raises(CommandError, match="neither held nor in review"):
        manage("queue", "release", delivery.public_id, "--reason", "twice")
    events = Event.objects.order_by("at", "id")
    assert [event.tag for event in events] == [Tag.DELIVERY_HELD.value, Tag.DELIVERY_RELEASED.value]
    assert all(event.actor_label.startswith("operator:") for event in events)
    assert [event.detail["reason"] for event in events] == ["legal", "cleared"]


def test_why_mail_was_sent_once_more_stays_with_it_while_it_is_tried() -> None:
    delivery = make_delivery(reason="asked for by its reader")
    assert manage("queue", "retry", delivery.public_id, "--reason", "now")[0]["reason"] == "asked for by its reader"


def test_review_is_released_to_another_try() -> None:
    delivery = make_delivery(state=DeliveryState.REVIEW, next_attempt_at=timezone.now() + timedelta(days=1))
    assert manage("queue", "release", delivery.public_id, "--reason", "mailbox made")[0]["state"] == "queued"
    delivery.refresh_from_db()
    assert delivery.next_attempt_at <= timezone.now()


def test_remove_withdraws_mail_from_its_owner_until_it_is_redelivered() -> None:
    owner = make_user()
    delivery = make_delivery(mailbox=make_mailbox(user=owner), state=DeliveryState.REVIEW, visible_at=timezone.now())
    assert access.deliveries(owner).exists()
    assert manage("queue", "remove", delivery.public_id, "--reason", "phishing")[0]["state"] == "removed"
    assert not access.deliveries(owner).exists()
    assert not queries.waiting(delivery.route).exists()
    with pytest.raises(CommandError, match="it is finished"):
        manage("queue", "remove", delivery.public_id, "--reason", "twice")
    assert manage("queue", "redeliver", delivery.public_id, "--reason", "harmless")[0]["state"] == "queued"
    assert access.deliveries(owner).exists()
    assert Event.objects.filter(tag=Tag.DELIVERY_REMOVED.value).get().detail["reason"] == "phishing"


@pytest.mark.parametrize("act", ["remove", "bounce"])
def test_mail_under_way_or_without_a_reason_is_not_ended(act: str) -> None:
    delivery = make_delivery(state=DeliveryState.LEASED, lease_until=timezone.now() + timedelta(minutes=1))
    with pytest.raises(CommandError, match="being delivered at this moment"):
        manage("queue", act, delivery.public_id, "--reason", "now")
    with pytest.raises(CommandError, match="a reason is needed"):
        manage("queue", act, delivery.public_id, "--reason", "  ")
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.LEASED


def test_bounce_tells_our_author_and_nobody_else() -> None:
    mailbox = make_mailbox()
    partner = Recipient("partner@gone.test", mailbox.domain.route_id, direction=Direction.OUTBOUND)
    message = make_message(recipients=(partner,), author_mailbox_id=mailbox.pk, reverse_path=mailbox.address)
    delivery = message.deliveries.get()
    assert manage("queue", "bounce", delivery.public_id, "--reason", "the partner is gone")[0]["state"] == "bounced"
    notice = Message.objects.exclude(pk=message.pk).get()
    assert notice.deliveries.get().mailbox == mailbox
    assert b"the partner is gone" in content.read(notice)
    foreign = make_delivery(mailbox=mailbox)
    with pytest.raises(CommandError, match="only mail written here can be bounced"):
        manage("queue", "bounce", foreign.public_id, "--reason", "spam")
    foreign.refresh_from_db()
    assert foreign.state == DeliveryState.QUEUED


@pytest.mark.parametrize("public_id", ["nonsense", encode(1), "0" * 14])
def test_unknown_ids_are_errors(public_id: str) -> None:
    with pytest.raises(CommandError):
        manage("queue", "show", public_id)


def test_a_primary_that_lost_mail_after_its_250_gets_all_of_it_again() -> None:
    with Primary() as primary:
        mailbox = make_mailbox()
        route = mailbox.domain.route
        route.hosts.update(port=primary.port)
        messages = [make_message(mailbox=mailbox) for _ in range(5)]
        Drain(route, Direction.INBOUND).run()
        lost = [kept.octets for kept in primary.kept]
        primary.kept.clear()
        arguments = ("--domain", mailbox.domain.name, "--since", "2020-01-01T00:00:00Z", "--reason", "disk lost")
        assert len(manage("queue", "redeliver", *arguments)) == 5
        Drain(route, Direction.INBOUND).run()
        assert sorted(kept.octets for kept in primary.kept) == sorted(lost)
    assert Event.objects.filter(tag=Tag.DELIVERY_REDELIVERED.value).count() == 5
    content.erase(messages, now=timezone.now())
    with pytest.raises(CommandError, match="erased"):
        manage("queue", "redeliver", messages[0].public_id, "--reason", "again")
    with pytest.raises(CommandError, match="name an id"):
        manage("queue", "redeliver", *arguments)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_outage_open_close_twice_and_unknown() -> None:
    domain = make_domain()
    assert manage("outage", "list") == []
    (row,) = manage("outage", "open", domain.name, "--reason", "fire")
    assert (row["kind"], row["state"], row["reason"]) == ("declared", "down", "fire")
    for arguments in (
        ("open", domain.name, "--reason", "again"),
        ("open", "unknown.test", "--reason", "x"),
        ("open", domain.name, "--reason", "x", "--until", "2020-01-01T00:00"),
        ("schedule", domain.name, "--from", "2020-01-01T00:00", "--reason", "x"),
        ("close", "unknown.test", "--reason", "x"),
    ):
        with pytest.raises(CommandError):
            manage("outage", *arguments)
    assert manage("outage", "announce", domain.name, "Back at noon.")[0]["state"] == "down"
    assert manage("outage", "close", domain.name, "--reason", "out")[0]["state"] == "recovering"
    with pytest.raises(CommandError):
        manage("outage", "close", domain.name, "--reason", "twice")
    assert Route.objects.get().state == RouteState.RECOVERING
    assert Outage.objects.get().announced_by.startswith("operator:")


def test_a_detected_outage_that_is_declared_says_how_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = make_domain(), make_domain("other.test")
    observe(one.route, Evidence(ok=False, host="192.0.2.1:25"), now=timezone.now())
    manage("outage", "open", one.name, "--reason", "fire")
    said = capsys.readouterr().err
    assert "The outage that probes had found is a declared one now." in said
    assert f"It ends by `outage close {one.route.name}` only" in said
    year = timezone.now().year + 1
    manage("outage", "open", other.name, "--reason", "fire", "--until", f"{year}-01-30T22:00+01:00")
    assert capsys.readouterr().err.startswith(f"It ends on {year}-01-30 21:00 UTC or by `outage close other.test`")


def test_planned_times_are_shown_in_utc_whatever_was_typed() -> None:
    domain = make_domain()
    year = timezone.now().year + 1
    times = ("--from", f"{year}-01-30T22:00+01:00", "--until", f"{year}-01-31T02:00+01:00")
    (made,) = manage("outage", "schedule", domain.name, *times, "--reason", "x")
    (listed,) = manage("outage", "list")
    assert (made["starts_at"], made["until"]) == (listed["starts_at"], listed["until"])
    assert made["starts_at"].startswith(f"{year}-01-30 21:00:00+00:00")


def test_outage_schedule_and_call_off() -> None:
    domain = make_domain()
    year = timezone.now().year + 1
    times = ("--from", f"{year}-01-01T22:00Z", "--until", f"{year}-01-02")
    manage("outage", "schedule", domain.name, *times, "--reason", "x")
    assert [row["state"] for row in manage("outage", "list")] == ["to come"]
    manage("outage", "close", domain.name, "--reason", "not needed")
    assert manage("outage", "list") == []
    with pytest.raises(CommandError, match="no open outage"):
        manage("outage", "close", domain.name, "--reason", "twice")


def test_what_expires_soon_can_be_listed() -> None:
    soon, _other = make_delivery(warned=1, warned_at=timezone.now()), make_delivery()
    (row,) = manage("queue", "list", "--expiring")
    assert (row["id"], row["warnings"]) == (soon.public_id, 1)
    assert row["expires_at"].startswith(str(soon.expires_at.year))
    assert len(manage("queue", "list")) == 2


def test_a_list_that_is_cut_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        make_message()
    assert len(manage("queue", "list", "--limit", "2")) == 2
    assert "2 of 3 are shown; --limit 3 shows more." in capsys.readouterr().err
    assert len(manage("queue", "list", "--limit", "3")) == 3
    assert not capsys.readouterr().err
