"""Nothing expires unwarned, on a route that is not up, or behind a person's back; authors of ours are told."""

import email
from collections.abc import Iterator
from datetime import timedelta
from email.message import Message as Mail

import pytest
from django.utils import timezone

from audit.models import Event
from audit.tags import Tag
from spool.enums import DeliveryState, Direction, RouteState
from spool.models import Delivery, Mailbox, Message, Route, RouteChange
from spool.queue import acts, content, holding, transitions
from spool.queue.expiry import EXPIRES_SOON, LAST_NOTICE, expire, warn
from spool.queue.ingest import Recipient
from spool.queue.purge import housekeeping
from tests.accounts.parallel import at_once
from tests.factories.accounts import make_user
from tests.factories.spool import make_delivery, make_mailbox, make_message

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now()
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def tried(*, left: timedelta = 30 * DAY, attempts: int = 9, held: bool = False) -> Delivery:
    """A delivery that the primary put off so far, with `left` until it expires."""
    return make_delivery(
        expires_at=NOW + left, attempts=attempts, held=held, last_code=451, last_reply="4.2.1 still busy"
    )


def outbound() -> tuple[Message, str]:
    mailbox, user = make_mailbox(), make_user()
    path = Recipient("x@outside.test", mailbox.domain.route_id, direction=Direction.OUTBOUND)
    message = make_message(
        recipients=(path,), author_id=user.pk, author_mailbox_id=mailbox.pk, reverse_path=mailbox.address, peer=None
    )
    message.deliveries.update(attempts=9, expires_at=NOW + 30 * DAY, last_code=451, last_reply="4.2.1 still busy")
    return message, mailbox.address


def notices() -> Iterator[tuple[Message, Mail]]:
    """What was written to authors: the stored message and its delivery-status fields (RFC 3464), oldest first."""
    for stored in Message.objects.filter(reverse_path="", author=None).order_by("pk"):
        for part in email.message_from_bytes(content.read(stored)).walk():
            if part.get_content_type() == "message/delivery-status":
                yield stored, part.get_payload()[1]  # type: ignore[misc,index]


def warned_on(tag: Tag = Tag.DELIVERY_WARNED) -> list[int]:
    return [(event.at - NOW).days for event in Event.objects.filter(tag=tag.value).order_by("at", "id")]


def test_warnings_come_seven_three_and_one_day_before_the_end() -> None:
    delivery = tried()
    for hour in range(0, 24 * 31, 12):
        housekeeping(now=NOW + timedelta(hours=hour))
    assert warned_on() == [23, 27, 29]
    assert warned_on(Tag.DELIVERY_EXPIRED) == [30]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.finished_at) == (DeliveryState.EXPIRED, NOW + 30 * DAY)


def test_the_author_is_told_that_it_is_late_then_that_it_failed() -> None:
    message, author = outbound()
    for day in range(32):
        housekeeping(now=NOW + day * DAY)
        housekeeping(now=NOW + day * DAY)  # a second sweep adds nothing
    found = list(notices())
    assert [fields["Action"] for _, fields in found] == ["delayed", "delayed", "delayed", "failed"]
    assert [fields["Status"] for _, fields in found] == ["4.0.0", "4.0.0", "4.0.0", "4.4.7"]
    until = email.utils.parsedate_to_datetime(found[0][1]["Will-Retry-Until"])
    assert abs(until - (NOW + 30 * DAY)) < SECOND
    for stored, fields in found:
        assert fields["Diagnostic-Code"] == "smtp; 451 4.2.1 still busy"
        sent = stored.deliveries.get()
        assert (sent.forward_path, sent.direction) == (author, Direction.INBOUND)
        assert sent.visible_at is not None
    assert message.deliveries.get().state == DeliveryState.EXPIRED


def test_of_several_sweeps_one_warns() -> None:
    for _ in range(6):
        message, _author = outbound()
        message.deliveries.update(expires_at=NOW + 6 * DAY)
    assert sum(at_once(lambda _: warn(now=NOW), threads=4)) == 6
    assert len(warned_on()) == len(list(notices())) == 6


def test_strangers_are_never_told() -> None:
    tried(left=LAST_NOTICE)
    assert warn(now=NOW) == 1
    assert Message.objects.count() == 1
    assert Event.objects.get(tag=Tag.DELIVERY_WARNED.value).detail["author_told"] is False


def test_a_notice_that_cannot_be_written_stops_no_other() -> None:
    message, author = outbound()
    message.deliveries.update(expires_at=NOW + DAY)  # the first in the sweep
    Mailbox.objects.filter(address=author).update(address=f"m\u00fcller@{author.rpartition('@')[2]}")
    other = tried(left=6 * DAY)
    assert warn(now=NOW) == 2
    other.refresh_from_db()
    assert other.warned == 1
    told = {
        event.target_id: event.detail["author_told"] for event in Event.objects.filter(tag=Tag.DELIVERY_WARNED.value)
    }
    assert told[message.deliveries.get().public_id] is False
    assert expire(now=NOW + 2 * DAY) == 1
    assert not list(notices())


def test_what_was_never_warned_of_is_warned_of_and_gets_a_whole_day() -> None:
    """The sweep did not run for weeks, or the clock jumped ahead."""
    delivery = tried(left=-20 * DAY)
    assert expire(now=NOW) == 0
    assert (warn(now=NOW), warn(now=NOW)) == (1, 0)
    assert expire(now=NOW + DAY - SECOND) == 0
    delivery.refresh_from_db()
    assert (delivery.warned, delivery.expires_at) == (3, NOW + DAY)
    assert expire(now=NOW + DAY) == 1


@pytest.mark.parametrize("damage", [{"warned": 2}, {"warned_at": NOW}, {"warned": 0, "warned_at": None}])
def test_expiry_refuses_without_the_record_of_a_last_warning_a_day_ago(damage: dict[str, object]) -> None:
    delivery = tried(left=-SECOND)
    Delivery.objects.filter(pk=delivery.pk).update(**{"warned": 3, "warned_at": NOW - DAY, **damage})
    assert expire(now=NOW) == 0
    Delivery.objects.filter(pk=delivery.pk).update(warned=3, warned_at=NOW - DAY)
    assert expire(now=NOW) == 1


@pytest.mark.parametrize("state", [RouteState.SUSPECT, RouteState.DOWN, RouteState.RECOVERING])
def test_nothing_is_warned_of_or_expires_while_the_route_is_not_up(state: RouteState) -> None:
    delivery = tried(left=-SECOND)
    Delivery.objects.update(warned=3, warned_at=NOW - 2 * DAY)
    Route.objects.update(state=state)
    assert (warn(now=NOW), expire(now=NOW)) == (0, 0)
    Delivery.objects.update(warned=0)
    assert (warn(now=NOW), expire(now=NOW)) == (0, 0)
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.QUEUED


def test_the_last_day_is_a_day_with_the_route_up() -> None:
    """Warned, then five days down: what was left of the day is still left when the route is up again."""
    delivery = tried(left=LAST_NOTICE)
    warn(now=NOW)
    route = delivery.route
    fell, rose = NOW + timedelta(hours=1), NOW + 5 * DAY
    RouteChange.objects.create(route=route, at=fell, old=RouteState.UP, new=RouteState.SUSPECT)
    transitions.change_state(route, RouteState.UP, evidence="probe", outage=None, now=rose)
    assert expire(now=rose) == expire(now=rose + timedelta(hours=22)) == 0
    assert expire(now=rose + timedelta(hours=23)) == 1


@pytest.mark.parametrize(("attempts", "held"), [(0, False), (9, True)])
def test_mail_that_was_never_tried_or_is_held_does_not_expire(attempts: int, held: bool) -> None:
    tried(left=-SECOND, attempts=attempts, held=held)
    Delivery.objects.update(warned=3, warned_at=NOW - 2 * DAY)
    assert (warn(now=NOW), expire(now=NOW)) == (0, 0)


def test_a_route_that_a_person_holds_lets_nothing_expire_and_is_warned_of_anew() -> None:
    delivery = tried(left=LAST_NOTICE)
    warn(now=NOW)
    holding.set_held(delivery.route, held=True, reason="wait", now=NOW)
    assert (warn(now=NOW + 9 * DAY), expire(now=NOW + 9 * DAY)) == (0, 0)
    holding.set_held(delivery.route, held=False, reason="go", now=NOW + 9 * DAY)
    assert (expire(now=NOW + 9 * DAY), warn(now=NOW + 9 * DAY)) == (0, 1)
    assert expire(now=NOW + 10 * DAY) == 1


@pytest.mark.parametrize("act", ["release", "retry", "redeliver"])
def test_a_persons_act_starts_the_warnings_anew(act: str) -> None:
    delivery = tried(left=-5 * DAY)
    state = {"release": DeliveryState.REVIEW, "retry": DeliveryState.QUEUED, "redeliver": DeliveryState.EXPIRED}[act]
    finished = NOW if act == "redeliver" else None
    Delivery.objects.update(state=state, finished_at=finished, warned=3, warned_at=NOW - 9 * DAY)
    getattr(acts, act)(delivery, reason="again", now=NOW)
    assert expire(now=NOW) == 0
    assert Delivery.objects.get().warned == 0


def test_a_mark_stands_until_the_mail_is_finished() -> None:
    delivery = tried(left=6 * DAY)
    warn(now=NOW)
    assert Delivery.objects.filter(EXPIRES_SOON).count() == 1
    Delivery.objects.filter(pk=delivery.pk).update(state=DeliveryState.DELIVERED, finished_at=NOW)
    assert not Delivery.objects.filter(EXPIRES_SOON).exists()


def test_a_short_life_is_warned_of_once(settings) -> None:  # type: ignore[no-untyped-def]
    settings.EXPIRY_DAYS = 2
    tried(left=2 * DAY)
    for hour in range(0, 24 * 3, 6):
        housekeeping(now=NOW + timedelta(hours=hour))
    assert (warned_on(), warned_on(Tag.DELIVERY_EXPIRED)) == ([1], [2])
