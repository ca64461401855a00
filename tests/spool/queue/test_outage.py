"""Routes follow the evidence, people may overrule it, and an outage closes with a report that adds up."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from audit.models import Event
from audit.tags import Tag
from spool.console.figures import course
from spool.enums import DeliveryState, Direction, OutageKind, RouteState
from spool.models import Delivery, Outage, PlannedOutage, Probe, Route, RouteChange
from spool.queue import outage, queries
from spool.queue.drain import Drain
from spool.queue.outage import OutageError
from spool.queue.schedule import Evidence
from tests.doubles.primary import Primary
from tests.factories.spool import make_mailbox, make_message, make_route

pytestmark = pytest.mark.django_db(transaction=True)
T0 = timezone.now()


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def look(route: Route, signs: str, *, start: float = 0) -> Route:
    """One probe a second; `+` good, `-` bad."""
    for second, sign in enumerate(signs):
        evidence = Evidence(sign == "+", "mail.test:25", "rcpt", 250 if sign == "+" else None, "timed out", 7)
        route = outage.observe(route, evidence, now=at(start + second))
    return route


def tags() -> list[str]:
    return list(Event.objects.filter(tag__startswith="spool.outage").order_by("at", "id").values_list("tag", flat=True))


def test_a_whole_outage_leaves_explained_changes_and_one_report() -> None:
    route = make_route()
    route = look(route, "+---")
    assert route.state == RouteState.DOWN
    running = Outage.objects.get()
    assert (running.kind, running.opened_at, running.down_at) == (OutageKind.DETECTED, at(1), at(3))
    route = look(route, "+++", start=10)
    assert route.state == RouteState.RECOVERING
    route = look(route, "+", start=13)
    assert route.state == RouteState.UP
    running.refresh_from_db()
    assert running.closed_at == at(13)
    assert running.report is not None
    assert running.report["adds_up"]
    assert tags() == [Tag.OUTAGE_OPENED.value, Tag.OUTAGE_CLOSED.value]
    changes = list(RouteChange.objects.order_by("at").values_list("old", "new"))
    assert changes == [("up", "suspect"), ("suspect", "down"), ("down", "recovering"), ("recovering", "up")]
    assert "mail.test:25 failed at rcpt (timed out), 3 in a row" in RouteChange.objects.get(new="down").evidence
    assert Probe.objects.count() == 8


def test_a_blip_without_mail_leaves_no_outage() -> None:
    route = look(make_route(), "-++")
    assert route.state == RouteState.UP
    assert not Outage.objects.exists()
    assert tags() == []
    assert Event.objects.filter(tag=Tag.ROUTE_CHANGED.value).count() == 2


def test_a_blip_with_mail_is_told_and_closes_when_the_mail_is_home() -> None:
    with Primary() as primary:
        mailbox = make_mailbox()
        route = mailbox.domain.route
        route.hosts.update(port=primary.port)
        look(route, "-", start=-10)
        make_message(mailbox=mailbox, now=at(-9))
        route = look(route, "++", start=-5)
        assert route.state == RouteState.UP
        assert queries.writing_open(route)
        Drain(route, Direction.INBOUND).run()
        look(route, "+")
    closed = Outage.objects.get()
    assert closed.report == queries.Account(1, 1, held=0, removed=0, bounced=0, expired=0, merged=0).to_json()
    assert tags() == [Tag.OUTAGE_OPENED.value, Tag.OUTAGE_CLOSED.value]
    assert not queries.writing_open(route)


def test_recovering_lasts_until_the_spool_is_empty() -> None:
    with Primary() as primary:
        mailbox = make_mailbox()
        route = mailbox.domain.route
        route.hosts.update(port=primary.port)
        look(route, "---", start=-100)
        make_message(mailbox=mailbox)
        Delivery.objects.update(next_attempt_at=at(9999))  # put off by an earlier failure
        route = look(route, "+++++", start=-50)
        assert route.state == RouteState.RECOVERING
        assert Delivery.objects.get().next_attempt_at <= at(0)  # proof makes it due
        Drain(route, Direction.INBOUND).run()
        assert look(route, "+").state == RouteState.UP


def test_expiry_stands_still_while_the_route_is_not_up() -> None:
    mailbox = make_mailbox()
    before = make_message(mailbox=mailbox, now=at(-3600)).deliveries.get()
    route = look(mailbox.domain.route, "---")
    during = make_message(mailbox=mailbox, now=at(1800)).deliveries.get()
    route = look(route, "+++", start=7200)
    for delivery in (before, during):
        Delivery.objects.filter(pk=delivery.pk).update(state=DeliveryState.REVIEW)
    look(route, "+", start=7203)
    left_before, left_during = before.expires_at, during.expires_at
    before.refresh_from_db()
    during.refresh_from_db()
    assert before.expires_at - left_before == timedelta(seconds=7203)
    assert during.expires_at - left_during == timedelta(seconds=7203 - 1800)


def test_a_declared_outage_overrules_probes_until_a_person_ends_it() -> None:
    route = make_route()
    opened = outage.open_outage(route, kind=OutageKind.DECLARED, reason="fire drill", now=at(0))
    route = look(route, "++++++", start=1)
    assert route.state == RouteState.DOWN
    with pytest.raises(OutageError, match="already"):
        outage.open_outage(route, kind=OutageKind.DECLARED, reason="again", now=at(8))
    outage.close_outage(opened, reason="over", now=at(9))
    route.refresh_from_db()
    assert route.state == RouteState.RECOVERING
    with pytest.raises(OutageError, match="already"):
        outage.close_outage(opened, reason="twice", now=at(10))
    assert look(route, "+", start=11).state == RouteState.UP
    opened.refresh_from_db()
    assert opened.closed_at == at(11)
    with pytest.raises(OutageError, match="closed"):
        outage.close_outage(opened, reason="thrice", now=at(12))
    assert tags() == [Tag.OUTAGE_OPENED.value, Tag.OUTAGE_ENDED.value, Tag.OUTAGE_CLOSED.value]


def test_an_ended_outage_whose_primary_is_not_back_returns_to_down() -> None:
    route = look(make_route(), "---")
    outage.close_outage(Outage.objects.get(), reason="I think it is back", now=at(5))
    assert look(route, "---", start=6).state == RouteState.DOWN
    assert Outage.objects.get().closed_at is None


def test_a_declared_outage_takes_over_a_detected_one_and_ends_by_itself() -> None:
    route = look(make_route(), "---")
    outage.open_outage(route, kind=OutageKind.DECLARED, reason="moving house", now=at(5), until=at(60))
    assert Outage.objects.get().kind == OutageKind.DECLARED
    assert look(route, "+++", start=50).state == RouteState.DOWN
    assert look(route, "+", start=61).state == RouteState.RECOVERING


def test_a_planned_outage_begins_in_its_time() -> None:
    route = make_route()
    outage.schedule_outage(route, starts_at=at(100), until=at(200), reason="new disks", now=at(0))
    for wrong in ({"starts_at": at(-1), "until": None}, {"starts_at": at(50), "until": at(40)}):
        with pytest.raises(OutageError):
            outage.schedule_outage(route, reason="wrong", now=at(0), **wrong)
    assert outage.begin_planned(now=at(99)) == 0
    assert outage.begin_planned(now=at(100)) == 1
    assert outage.begin_planned(now=at(101)) == 0
    route.refresh_from_db()
    assert route.state == RouteState.DOWN
    assert Outage.objects.get().kind == OutageKind.PLANNED
    assert not PlannedOutage.objects.exists()


def test_announcements_belong_to_an_open_outage() -> None:
    route = look(make_route(), "---")
    running = Outage.objects.get()
    outage.announce(running, "We are on it.", by="IT", now=at(5))
    running.refresh_from_db()
    assert (running.announcement, running.announced_by) == ("We are on it.", "IT")
    look(route, "++++", start=6)
    running.refresh_from_db()
    with pytest.raises(OutageError):
        outage.announce(running, "late", by="IT", now=at(20))


def test_the_status_of_a_route_counts_the_mail_of_its_outage_only() -> None:
    good, bad = make_mailbox(), make_mailbox(shared=True)
    make_message(mailbox=good)
    look(bad.domain.route, "---")
    make_message(mailbox=bad, now=at(10))
    bad.domain.route.refresh_from_db()
    status = queries.route_status(bad.domain.route, now=at(11))
    assert (status.state, status.held, status.total, status.delivered) == (RouteState.DOWN, 1, 1, 0)
    assert status.since == at(0)


def test_the_account_adds_up_whatever_became_of_mail() -> None:
    mailbox = make_mailbox()
    for number, state in enumerate([*DeliveryState, DeliveryState.QUEUED]):
        delivery = make_message(mailbox=mailbox).deliveries.get()
        finished = at(number) if state not in ("queued", "leased", "review") else None
        lease = at(90) if state == DeliveryState.LEASED else None
        Delivery.objects.filter(pk=delivery.pk).update(state=state, finished_at=finished, lease_until=lease)
    delivery.merged.create(accepted_at=at(1))
    account = queries.account(domains=[mailbox.domain.name])
    assert account == queries.Account(9, delivered=1, held=4, removed=1, bounced=1, expired=1, merged=1)
    assert account.adds_up
    assert queries.account(domains=["elsewhere.test"]).accepted == 0
    assert queries.account().adds_up


def test_mail_taken_before_the_outage_was_seen_is_in_its_account() -> None:
    """A route that nobody confirmed takes mail while it is still called up; what had gone home before is not meant."""
    with Primary() as primary:
        mailbox = make_mailbox()
        route = mailbox.domain.route
        route.hosts.update(port=primary.port)
        home = make_message(mailbox=mailbox, now=at(-500)).deliveries.get()
        Delivery.objects.filter(pk=home.pk).update(state=DeliveryState.DELIVERED, finished_at=at(-400))
        for second in range(3):
            make_message(mailbox=mailbox, now=at(-200 + second))
        look(route, "---", start=-100)
        make_message(mailbox=mailbox, now=at(-90))
        running = Outage.objects.get()
        assert queries.account(outage=running).accepted == 4
        drawn = course(queries.of_outage(running), start=running.opened_at, end=at(0))
        assert [column.held for column in drawn.columns][-1] == 4
        look(route, "+++", start=-50)
        Drain(route, Direction.INBOUND).run()
        drawn = course(queries.of_outage(running), start=running.opened_at, end=timezone.now())
        assert all(column.held >= 0 for column in drawn.columns)
        look(route, "+", start=-40)
    closed = Outage.objects.get()
    assert closed.report == queries.Account(4, 4, held=0, removed=0, bounced=0, expired=0, merged=0).to_json()


def test_what_one_outage_leaves_behind_is_not_counted_by_the_next() -> None:
    mailbox = make_mailbox()
    route = look(mailbox.domain.route, "---", start=-100)
    refused = make_message(mailbox=mailbox, now=at(-95)).deliveries.get()
    Delivery.objects.filter(pk=refused.pk).update(state=DeliveryState.REVIEW)
    route = look(route, "++++", start=-90)
    look(route, "---++++", start=-50)
    first, second = Outage.objects.order_by("opened_at")
    assert (first.report or {})["held"] == 1
    assert (second.report or {})["accepted"] == 0


def test_mail_stored_by_an_intake_that_saw_no_outage_yet_is_adopted() -> None:
    mailbox = make_mailbox()
    route = look(mailbox.domain.route, "---", start=-100)
    late = make_message(mailbox=mailbox, now=at(-95)).deliveries.get()
    Delivery.objects.filter(pk=late.pk).update(outage=None, state=DeliveryState.DELIVERED, finished_at=at(-89))
    look(route, "++++", start=-90)
    assert (Outage.objects.get().report or {})["delivered"] == 1


@pytest.mark.parametrize("text", ["9999-12-31T23:59:00-12:00", "9999-12-31T23:59:00+00:00", "2150-01-01T00:00:00Z"])
def test_an_end_that_nobody_lives_to_see_is_refused(text: str) -> None:
    """A time past the year 9999 is stored, but no row that holds it can be read again, and the watch stops."""
    route, far = make_route(), datetime.fromisoformat(text)
    with pytest.raises(OutageError, match="within ten years"):
        outage.open_outage(route, kind=OutageKind.DECLARED, reason="x", now=at(0), until=far)
    with pytest.raises(OutageError, match="within ten years"):
        outage.schedule_outage(route, starts_at=at(60), until=far, reason="x", now=at(0))
    with pytest.raises(OutageError, match="within ten years"):
        outage.schedule_outage(route, starts_at=far, until=None, reason="x", now=at(0))
    assert not Outage.objects.exists()
