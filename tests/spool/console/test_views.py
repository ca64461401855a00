"""The console over HTTP: admins only, envelopes only, acts with a reason, closed lists instead of user keys."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.enums import Role
from audit.models import Event
from spool.enums import OutageKind, RouteState
from spool.models import Delivery, Mailbox, Outage, Route
from spool.queue import outage
from tests.factories.accounts import log_in, make_user
from tests.factories.spool import make_domain, make_mailbox, make_message, make_route

CANARY = b"xk4canaryword in the body"
MAIL = (
    b"From: noreply@shop.example\r\nTo: tilda@example.test\r\nSubject: Order <b>7719</b>\r\n"
    b"Message-ID: <o@shop.example>\r\n\r\n" + CANARY + b"\r\n"
)


@pytest.fixture
def mailbox(db: None) -> Mailbox:
    route = make_route(name="example.test", state="up")
    return make_mailbox("tilda@example.test", domain=make_domain("example.test", route=route))


@pytest.fixture
def client(mailbox: Mailbox) -> Client:
    return log_in(Client(), make_user(role=Role.ADMIN, name="Hannes Kieselstein"))


def open_now(mailbox: Mailbox) -> Outage:
    now = timezone.now() - timedelta(minutes=30)
    return outage.open_outage(mailbox.domain.route, kind=OutageKind.DECLARED, reason="power", now=now)


def pages(mailbox: Mailbox) -> list[str]:
    route = mailbox.domain.route_id
    return [
        reverse("spool:console"),
        reverse("spool:console-route", args=[route]),
        *(reverse("spool:console-route", args=[route]) + f"?show={show}" for show in ("held", "review", "delivered")),
        reverse("spool:console-queue"),
        reverse("spool:console-queue") + f"?show=held&order=newest&route={route}",
    ]


@pytest.mark.parametrize("role", [Role.EMPLOYEE, Role.SECURITY])
def test_only_admins_see_and_act(mailbox: Mailbox, role: Role) -> None:
    other = log_in(Client(), make_user(role=role))
    for url in pages(mailbox):
        assert other.get(url).status_code == 403
        assert Client().get(url).status_code == 302
    for name in ("open", "close", "announce", "hold", "release"):
        url = reverse("spool:console-act", args=[mailbox.domain.route_id, name])
        assert other.post(url, {"reason": "x"}).status_code == 403
    assert not Outage.objects.exists()
    assert Event.objects.filter(tag="account.access.denied").exists()


def test_no_page_shows_a_body_and_each_view_is_an_event(client: Client, mailbox: Mailbox) -> None:
    open_now(mailbox)
    message = make_message(MAIL, mailbox=mailbox)
    Delivery.objects.update(state="review", last_code=550, last_reply="550 5.1.1 user unknown")
    for number, url in enumerate(pages(mailbox), 1):
        page = client.get(url).content
        assert b"xk4canaryword" not in page
        assert Event.objects.filter(tag="spool.queue.viewed").count() == number
    listing = client.get(reverse("spool:console-queue")).content.decode()
    assert "Order &lt;b&gt;7719&lt;/b&gt;" in listing
    assert "550 5.1.1 user unknown" in listing
    assert message.deliveries.get().public_id in listing


def test_an_outage_is_opened_announced_held_released_and_ended(client: Client, mailbox: Mailbox) -> None:
    def act(name: str, **data: str) -> str:
        url = reverse("spool:console-act", args=[mailbox.domain.route_id, name])
        return client.post(url, data, follow=True).content.decode()

    assert "write a reason" in act("open", reason="  ")
    assert not Outage.objects.exists()
    assert "The outage is open." in act("open", reason="Power failure")
    assert Route.objects.get().state == RouteState.DOWN
    assert "Power failure" in act("announce", reason="Power failure. Back at 15:30.")
    assert Outage.objects.get().announced_by == "Hannes Kieselstein"
    assert "held back" in act("hold", reason="wait for IT")
    assert Route.objects.get().held
    assert "held already" in act("hold", reason="wait for IT")
    act("release", reason="IT says go")
    assert not Route.objects.get().held
    assert "ended by hand" in act("close", reason="Power is back")
    assert Route.objects.get().state == RouteState.RECOVERING
    tags = set(Event.objects.values_list("tag", flat=True))
    assert {"spool.outage.opened", "spool.outage.announced", "spool.route.held", "spool.route.released"} <= tags


def test_wrong_times_and_acts_are_refused(client: Client, mailbox: Mailbox) -> None:
    url = reverse("spool:console-act", args=[mailbox.domain.route_id, "open"])
    for until in ("yesterday", "2020-01-01T10:00", "2026-99-99T10:00"):
        client.post(url, {"reason": "x", "until": until})
    assert client.post(url, {"reason": "x", "kind": "drill"}).status_code == 404
    for name in ("delete", "__class__"):
        wrong = reverse("spool:console-act", args=[mailbox.domain.route_id, name])
        assert client.post(wrong, {"reason": "x"}).status_code == 404
    assert not Outage.objects.exists()
    assert client.get(url).status_code == 405


def test_acts_need_the_token(mailbox: Mailbox) -> None:
    strict = log_in(Client(enforce_csrf_checks=True), make_user(role=Role.ADMIN))
    url = reverse("spool:console-act", args=[mailbox.domain.route_id, "open"])
    assert strict.post(url, {"reason": "forged"}).status_code == 403
    assert not Outage.objects.exists()


def test_the_account_adds_up_and_the_timeline_explains(client: Client, mailbox: Mailbox) -> None:
    opened = open_now(mailbox)
    for number in range(5):
        make_message(mailbox=mailbox, now=opened.opened_at + timedelta(minutes=number + 1))
    first = Delivery.objects.earliest("pk")
    Delivery.objects.filter(pk=first.pk).update(state="delivered", finished_at=timezone.now())
    page = client.get(reverse("spool:console")).content.decode()
    assert "It adds up" in page
    assert "power" in page
    assert "4 held" in page
    assert "The oldest mail has waited 2" in page
    assert "1 delivered" in page


def test_messages_received_mail_written_here_and_deliveries_are_told_apart(client: Client, mailbox: Mailbox) -> None:
    opened = open_now(mailbox)
    now = opened.opened_at + timedelta(minutes=1)
    other = make_mailbox("hannes@example.test", domain=mailbox.domain)
    make_message(mailboxes=(mailbox, other), now=now)
    make_message(mailbox=mailbox, now=now)
    make_message(mailbox=other, now=now, author_id=make_user().pk, peer=None)
    make_message(mailbox=other, now=now, peer=None, reverse_path="")  # a notice of einbox's own
    Outage.objects.filter(pk=opened.pk).update(opened_at=now)
    Delivery.objects.update(outage=opened)
    page = " ".join(client.get(reverse("spool:console")).content.decode().split())
    assert "2 messages received, 1 written here" in page
    assert "<td>5</td><td><b>accepted</b></td>" in page
    assert "5 deliveries wait here." in page


def test_paging_shows_every_delivery_once(client: Client, mailbox: Mailbox) -> None:
    for _ in range(120):
        make_message(mailbox=mailbox)
    for order in ("oldest", "newest"):
        seen: list[str] = []
        url = reverse("spool:console-queue") + f"?order={order}"
        after = ""
        for _ in range(4):
            context = client.get(url + after).context
            seen += [line.public_id for line in context["page"].lines]
            if not context["page"].more:
                break
            after = f"&after={context['page'].more}"
        assert len(seen) == len(set(seen)) == 120
        assert seen == sorted(seen, reverse=order == "newest")


NASTY = st.one_of(
    st.sampled_from(
        [
            "' OR 1=1 --",
            "state__in",
            "message__content",
            "pk) UNION SELECT password FROM accounts_user --",
            "held\x00",
            "-pk",
            "?",
            "0" * 13,
            "Z" * 13,
            "%27",
            "held,review",
        ]
    ),
    st.text(max_size=30),
)


@pytest.mark.untraced
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(["show", "order", "after", "route"]), value=NASTY)
def test_no_query_reaches_the_database_as_a_key(client: Client, name: str, value: str) -> None:
    response = client.get(reverse("spool:console-queue"), {name: value})
    assert response.status_code in {200, 404}
    assert b"xk4canaryword" not in response.content


def test_a_route_without_an_outage_is_calm(client: Client, mailbox: Mailbox) -> None:
    page = client.get(reverse("spool:console")).content.decode()
    assert "The mail server is working." in page
    assert "Open outage" in page


def test_an_installation_without_domains_says_how_to_add_one(db: None) -> None:
    admin = log_in(Client(), make_user(role=Role.ADMIN))
    assert b"manage.py domain add" in admin.get(reverse("spool:console")).content


def test_a_drill_that_is_over_leaves_nothing_on_the_console(client: Client) -> None:
    drill = make_route(name="drill-1.test", state="up")
    theirs = make_mailbox("one@drill-1.test", domain=make_domain("drill-1.test", route=drill, is_drill=True))
    make_message(MAIL, mailbox=theirs)
    for url in (reverse("spool:console"), reverse("spool:console-queue")):
        assert "drill-1.test" not in client.get(url).content.decode()
    Route.objects.filter(pk=drill.pk).update(state=RouteState.DOWN)
    assert "drill-1.test" in client.get(reverse("spool:console")).content.decode()


def test_what_expires_soon_has_a_filter_and_a_line_on_the_outage_page(client: Client, mailbox: Mailbox) -> None:
    make_message(mailbox=mailbox)
    for name in ("spool:console", "spool:console-queue"):
        assert "expire soon" not in client.get(reverse(name)).content.decode()
    make_message(mailbox=mailbox)
    Delivery.objects.update(warned=1, warned_at=timezone.now(), expires_at=timezone.now() + timedelta(days=6))
    page = client.get(reverse("spool:console")).content.decode()
    assert "2 deliveries expire soon" in page
    assert "show=soon" in page
    Delivery.objects.filter(pk=Delivery.objects.earliest("pk").pk).update(warned=0)
    listing = client.get(reverse("spool:console-queue") + "?show=soon").content.decode()
    assert listing.count("queue__id") == 1
    assert "expires " in listing
