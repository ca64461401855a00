"""The end of a domain's protection: never before its mail has gone its way, nothing forgotten, and the way back."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.enums import Role
from audit.models import Event
from einbox.doctor import examination
from einbox.metrics import exposition
from spool.enums import DeliveryState, Direction, OutageKind, RecipientPolicy, RouteState
from spool.models import Delivery, Domain, LearnedAddress, Mailbox, Outage, PlannedOutage, Probe, Route
from spool.queue import (
    acts,
    content,
    domains,
    drafts,
    drainsweep,
    mailboxes,
    outage,
    people,
    purge,
    queries,
    removal,
    scope,
)
from spool.queue.addresses import Directory, Kind
from spool.queue.domains import DomainError, Host, Settings
from spool.queue.ingest import Recipient
from spool.queue.outage import OutageError
from spool.queue.schedule import Evidence
from spool.queue.watch import Watch
from tests.doubles.primary import Primary
from tests.factories.accounts import log_in, make_user
from tests.factories.spool import make_delivery, make_domain, make_mailbox, make_message, make_route
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db
NOW = timezone.now()
HOUR = timedelta(hours=1)
PRIMARY = Settings(hosts=(Host("192.0.2.1", 25),))
GOOD = Evidence(ok=True, host="192.0.2.1:25", text="250", is_probe=True)
BAD = Evidence(ok=False, host="192.0.2.1:25", text="timeout", is_probe=True)


@pytest.fixture
def anna() -> Mailbox:
    """anna@example.test, whose domain had mail that is delivered and erased."""
    mailbox = make_mailbox("anna@example.test")
    message = make_message(mailbox=mailbox, now=NOW - 60 * HOUR)
    message.deliveries.update(state=DeliveryState.DELIVERED, finished_at=NOW - 59 * HOUR)
    assert purge.purge(now=NOW) == 1
    return mailbox


def remove(*, now: object = NOW, reason: str = "sold") -> Domain:
    return removal.remove("example.test", reason=reason, now=NOW)


def kind(address: str) -> Kind:
    return Directory.load().resolve(address).kind


# --- what keeps a domain -------------------------------------------------------------------------------------------
def test_mail_on_its_way_keeps_a_domain_and_is_counted(anna: Mailbox) -> None:
    route = anna.domain.route
    user = make_user(email="anna@example.test")
    make_delivery(mailbox=anna)
    make_delivery(mailbox=anna, state=DeliveryState.REVIEW)
    make_message(recipients=(Recipient("unknown@example.test", route.pk, unknown=True),))
    outside = Recipient("x@outside.test", route.pk, direction=Direction.OUTBOUND)
    make_message(recipients=(outside,), author_id=user.pk, author_mailbox_id=anna.pk)
    with pytest.raises(DomainError, match=r"3 deliveries to its people, 1 to others, 1 of them in review"):
        remove()
    assert Domain.objects.filter(name="example.test").exists()
    assert not Event.objects.filter(tag="spool.domain.removed").exists()


def test_what_its_people_wrote_to_another_domain_keeps_it_for_the_author_is_still_told(anna: Mailbox) -> None:
    user = make_user(email="anna@example.test")
    other = make_mailbox("ben@other.test")
    message = make_message(mailbox=other, author_id=user.pk, author_mailbox_id=anna.pk)
    with pytest.raises(DomainError, match="1 deliveries to its people, 0 to others"):
        remove()
    message.deliveries.update(state=DeliveryState.DELIVERED, finished_at=NOW)
    remove()


@pytest.mark.parametrize(
    ("state", "kept"), [(DeliveryState.DELIVERED, 48 * HOUR), (DeliveryState.BOUNCED, timedelta(days=30))]
)
def test_a_safety_copy_keeps_a_domain_until_its_time_is_over(anna: Mailbox, state: str, kept: timedelta) -> None:
    make_delivery(mailbox=anna, state=state, finished_at=NOW - kept + HOUR)
    until = f"{timezone.localtime(NOW + HOUR):%Y-%m-%d %H:%M}"
    with pytest.raises(DomainError, match=f"safety copies of 1 messages of example.test until {until}"):
        remove()
    Delivery.objects.filter(state=state).update(finished_at=NOW - kept)  # over, whether erased yet or not
    remove()


def test_an_erased_copy_keeps_nothing(anna: Mailbox) -> None:
    delivery = make_delivery(mailbox=anna, state=DeliveryState.DELIVERED, finished_at=NOW)
    content.erase([delivery.message], now=NOW)
    remove()


def test_addresses_of_other_domains_that_lead_there_keep_it(anna: Mailbox) -> None:
    make_domain("other.test")
    mailboxes.add_alias(anna, "anna@other.test", now=NOW)
    with pytest.raises(DomainError, match=r"1 addresses of other domains .*: anna@other\.test"):
        remove()
    mailboxes.remove_alias(anna, "anna@other.test", now=NOW)
    remove()


def test_a_used_domain_needs_a_reason_and_an_unused_one_does_not(anna: Mailbox) -> None:
    with pytest.raises(DomainError, match="a reason is needed"):
        remove(reason=" ")
    remove()
    with pytest.raises(DomainError, match="not a protected domain"):
        remove()
    wanted = Settings(hosts=PRIMARY.hosts, recipients=RecipientPolicy.DROPBOX, dropbox="desk@new.test")
    domains.add("new.test", wanted, now=NOW)
    removal.remove("new.test", now=NOW)


# --- what is left --------------------------------------------------------------------------------------------------
def test_a_removed_domain_is_seen_by_nobody_who_acts(anna: Mailbox, settings: LazySettings) -> None:
    user = make_user(email="anna@example.test")
    mailboxes.assign(anna, user, now=NOW)
    LearnedAddress.objects.create(domain=anna.domain, address="zoe@example.test", learned_at=NOW, confirmed_at=NOW)
    route = anna.domain.route
    assert (kind("anna@example.test"), kind("zoe@example.test")) == (Kind.MAILBOX, Kind.LEARNED)
    remove()
    assert kind("anna@example.test") is kind("zoe@example.test") is Kind.FOREIGN
    assert not LearnedAddress.objects.exists()
    assert route not in scope.routes()
    assert not domains.listed()
    assert not mailboxes.listed()
    assert not drafts.senders(user)
    assert not queries.routes_of(user)
    assert people.give_mailbox(make_user(email="new@example.test"), now=NOW) is None
    assert people.give_mailbox(user, now=NOW) is None
    with pytest.raises(mailboxes.MailboxError):
        mailboxes.add("b@example.test", now=NOW)
    with pytest.raises(mailboxes.MailboxError):
        mailboxes.get("anna@example.test")
    assert 'route="example.test"' not in exposition(now=NOW)[0].decode()
    found = examination.examine(now=NOW)
    assert not [each for each in found if "example.test" in each.check + each.sentence]
    assert "domains" in {each.check for each in found}  # none is protected
    with pytest.raises(CommandError, match="not a protected domain"):
        call_command("outage", "open", "example.test", "--reason", "x")


def test_its_history_stays_readable(anna: Mailbox) -> None:
    route = anna.domain.route
    past = Outage.objects.create(
        route=route, opened_at=NOW - 9 * HOUR, closed_at=NOW - 8 * HOUR, report={"accepted": 1}
    )
    remove()
    call_command("domain", "list", "--removed", stdout=(out := StringIO()))
    assert out.getvalue().startswith("domain=example.test")
    call_command("queue", "list", "--domain", "example.test", "--state", "delivered", stdout=(out := StringIO()))
    assert "anna@example.test" in out.getvalue()
    assert Outage.objects.get(pk=past.pk).report == {"accepted": 1}
    event = Event.objects.get(tag="spool.domain.removed")
    assert (event.target_label, event.detail) == ("example.test", {"reason": "sold", "mailboxes": 1})
    client = log_in(Client(), make_user(email="hannes@office.test", role=Role.ADMIN))
    page = client.get("/console/").content.decode()
    assert "example.test" not in page
    assert "example.test" in client.get(f"/console/route/{route.pk}/").content.decode()


def test_an_open_outage_is_closed_plans_are_called_off_and_nothing_stays_held(anna: Mailbox) -> None:
    route = anna.domain.route
    outage.open_outage(route, kind=OutageKind.DECLARED, reason="moving", now=NOW)
    outage.schedule_outage(route, starts_at=NOW + HOUR, until=None, reason="later", now=NOW)
    Route.objects.update(held=True)
    remove()
    closed = Outage.objects.get()
    assert (closed.closed_at, closed.report and closed.report["adds_up"]) == (NOW, True)
    assert not PlannedOutage.objects.exists()
    assert not Route.objects.get().held
    tags = Event.objects.order_by("id").values_list("tag", flat=True)
    assert list(tags)[-3:] == ["spool.outage.cancelled", "spool.outage.closed", "spool.domain.removed"]


def test_a_look_that_began_before_changes_nothing_any_more(anna: Mailbox) -> None:
    route = anna.domain.route
    remove()
    for evidence in (BAD, BAD, BAD, GOOD):
        outage.observe(route, evidence, now=NOW)
    assert not Outage.objects.exists()
    assert not Probe.objects.exists()
    assert Route.objects.get().state == RouteState.UP
    for act in (
        lambda: outage.open_outage(route, kind=OutageKind.DECLARED, reason="x", now=NOW),
        lambda: outage.schedule_outage(route, starts_at=NOW + HOUR, until=None, reason="x", now=NOW),
    ):
        with pytest.raises(OutageError, match="not protected any more"):
            act()


def test_a_plan_left_over_opens_nothing(anna: Mailbox) -> None:
    remove()
    PlannedOutage.objects.create(route=anna.domain.route, starts_at=NOW, reason="x", planned_by="x")
    assert outage.begin_planned(now=NOW) == 0
    assert not PlannedOutage.objects.exists()


# --- mail that came through at that moment ----------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_mail_that_came_through_at_that_moment_goes_home(anna: Mailbox) -> None:
    user = make_user(email="anna@example.test")
    mailboxes.assign(anna, user, now=NOW)
    with Primary() as primary:
        anna.domain.route.hosts.update(port=primary.port)
        remove()
        late = make_delivery(mailbox=anna)
        assert anna.domain.route in scope.routes()
        [said] = [each for each in examination.examine(now=timezone.now()) if each.check == "removed domains"]
        assert said.sentence.startswith("1 deliveries of removed domains wait")
        watch = Watch()
        wait_for(lambda: watch.tick(now=timezone.now()) and Probe.objects.filter(ok=True).exists(), what="a probe")
        drainsweep.sweep(now=timezone.now())
        wait_for(lambda: Delivery.objects.get(pk=late.pk).state == DeliveryState.DELIVERED, what="the way home")
        drainsweep.stop_all()
        watch.close()
    assert len(primary.kept) == 1
    assert anna.domain.route not in scope.routes()


@pytest.mark.django_db(transaction=True)
def test_an_outage_in_which_late_mail_waits_ends_like_any_other(anna: Mailbox) -> None:
    route = anna.domain.route
    remove()
    late = make_delivery(mailbox=anna)
    for evidence in (BAD, BAD, BAD, BAD):
        outage.observe(route, evidence, now=NOW)
    assert Route.objects.get().state == RouteState.DOWN
    Delivery.objects.filter(pk=late.pk).update(state=DeliveryState.DELIVERED, finished_at=NOW)
    assert route in scope.routes()  # until its outage is closed
    for evidence in (GOOD, GOOD, GOOD, GOOD):
        outage.observe(route, evidence, now=NOW)
    assert not Outage.objects.filter(closed_at=None).exists()
    assert route not in scope.routes()


def test_late_mail_that_the_primary_refuses_can_be_released(anna: Mailbox) -> None:
    remove()
    late = make_delivery(mailbox=anna, state=DeliveryState.REVIEW)
    assert anna.domain.route not in scope.routes()
    acts.release(late, reason="try again", now=NOW)
    assert anna.domain.route in scope.routes()


# --- two at once ---------------------------------------------------------------------------------------------------
def while_removing(act: Callable[[], object]) -> BaseException | None:
    """What `act` raises when it begins before the removal is committed and cannot end before."""
    begun = threading.Event()

    def other() -> BaseException | None:
        begun.set()
        try:
            act()
        except Exception as error:
            return error
        finally:
            connection.close()
        return None

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            remove()
            running = pool.submit(other)
            assert begun.wait(10)
            with pytest.raises(TimeoutError):
                running.result(0.3)  # it waits for us
        return running.result(20)


@pytest.mark.django_db(transaction=True)
def test_a_change_at_the_same_moment_does_not_bring_it_back(anna: Mailbox) -> None:
    error = while_removing(lambda: domains.change("example.test", Settings(recipients=RecipientPolicy.ACCEPT), now=NOW))
    assert isinstance(error, DomainError)
    assert not Domain.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_outage_opened_at_the_same_moment_is_refused(anna: Mailbox) -> None:
    route = anna.domain.route
    error = while_removing(lambda: outage.open_outage(route, kind=OutageKind.DECLARED, reason="x", now=NOW))
    assert isinstance(error, OutageError)
    assert not Outage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_removals_one_is_told_that_there_is_no_such_domain(anna: Mailbox) -> None:
    assert isinstance(while_removing(remove), DomainError)
    assert Event.objects.filter(tag="spool.domain.removed").count() == 1


# --- the way back --------------------------------------------------------------------------------------------------
def test_the_same_name_added_again_has_its_mailboxes_and_nothing_else_of_before(anna: Mailbox) -> None:
    user = make_user(email="anna@example.test")
    mailboxes.assign(anna, user, now=NOW)
    mailboxes.add_alias(anna, "chef@example.test", now=NOW)
    gone = mailboxes.add("gone@example.test", now=NOW)
    make_delivery(mailbox=gone, state=DeliveryState.DELIVERED, finished_at=NOW - 60 * HOUR)
    mailboxes.remove(gone, reason="left", now=NOW)
    before = Settings(smarthost="smtp://u@relay.test:587", smarthost_password="swordfish", submission="smtp://s.test",
                      recipients=RecipientPolicy.DROPBOX, dropbox="desk@example.test")  # fmt: skip
    domains.change("example.test", before, now=NOW)
    Route.objects.update(state=RouteState.DOWN, confirmed_at=NOW)
    remove()
    again = domains.add("Example.test", PRIMARY, now=NOW)
    route = again.route
    assert (again.pk, again.removed_at, route.pk) == (anna.domain_id, None, anna.domain.route_id)
    assert (again.recipient_policy, again.dropbox) == (RecipientPolicy.REJECT, None)
    assert (route.state, route.confirmed_at, route.submission_url, route.smarthost_url) == ("up", None, "", "")
    assert route.smarthost_password is None
    assert [str(host) for host in route.hosts.all()] == ["192.0.2.1:25"]
    assert kind("chef@example.test") is Kind.MAILBOX
    assert kind("gone@example.test") is Kind.UNKNOWN
    assert list(drafts.senders(user)) == [anna]
    assert route in scope.routes()
    event = Event.objects.filter(tag="spool.domain.added").latest("id")
    assert (event.detail["restored"], event.detail["mailboxes"]) == (True, 3)
    make_delivery(mailbox=anna)
    with pytest.raises(DomainError, match="still on its way"):
        remove()


def test_a_route_that_serves_another_domain_stays(anna: Mailbox) -> None:
    make_domain("second.test", route=anna.domain.route)
    outage.schedule_outage(anna.domain.route, starts_at=NOW + HOUR, until=None, reason="later", now=NOW)
    remove()
    assert anna.domain.route in scope.routes()
    assert PlannedOutage.objects.exists()


def test_a_route_without_any_domain_is_still_looked_after() -> None:
    assert make_route() in scope.routes()
