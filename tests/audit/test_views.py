"""The security team's pages: who gets in, what they read, and that every look is an event."""

import re
from datetime import datetime, timedelta

import pytest
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.enums import Role
from accounts.models import User
from audit import guards, views
from audit.context import Actor, Context, bound
from audit.models import Event
from audit.record import Target, record
from audit.sealing import seal
from audit.tags import Tag
from audit.verification import verify
from tests.audit.events import events
from tests.factories.accounts import log_in, make_user

PAGE = reverse("audit:dashboard")
TILDA = Actor("user", 7, "Tilda Kranich")


@pytest.fixture
def security(client: Client, db: None) -> User:
    user = make_user(role=Role.SECURITY, name="Nora Federkiel")
    log_in(client, user)
    return user


def read_mail(number: int = 1, *, at: datetime | None = None, outcome: str = "ok") -> list[Event]:
    with bound(Context(TILDA, "203.0.113.7")):
        return [
            record(
                Tag.MESSAGE_READ,
                target=Target("message", f"01J{n}"),
                detail={"mailbox": "t@x.test"},
                at=at,
                outcome=outcome,
            )
            for n in range(number)
        ]


def texts(response: HttpResponseBase) -> list[str]:
    """The sentences of the list, newest first."""
    rows = re.findall(r'<li class="audit-row">.*?<a [^>]*>(.*?)</a>', response.getvalue().decode(), re.DOTALL)
    return [re.sub(r"<[^>]+>", "", row) for row in rows]


@pytest.mark.django_db
@pytest.mark.parametrize("role", [Role.EMPLOYEE, Role.ADMIN])
@pytest.mark.parametrize("name", ["dashboard", "event"])
def test_other_roles_are_refused_and_that_is_an_event(client: Client, role: Role, name: str) -> None:
    (event,) = read_mail()
    user = make_user(role=role)
    log_in(client, user)
    url = reverse(f"audit:{name}", args=[event.pk] if name == "event" else [])
    assert client.get(url).status_code == 403
    (denied,) = events(Tag.ACCESS_DENIED)
    assert (denied.actor_id, denied.detail["path"], denied.outcome) == (user.pk, url, "denied")


@pytest.mark.django_db
def test_nobody_logged_in_gets_no_page_of_the_log(client: Client) -> None:
    (event,) = read_mail()
    for url in (PAGE, reverse("audit:event", args=[event.pk])):
        assert client.get(url).status_code in {302, 403}


def test_every_view_of_the_room_names_its_roles() -> None:
    found = [view for view in vars(views).values() if hasattr(view, "required_roles")]
    assert {view.__name__ for view in found} == {"dashboard", "event"}
    assert all(view.required_roles == ("security",) for view in found)


def test_an_event_is_a_sentence_with_its_evidence(client: Client, security: User) -> None:
    read_mail()
    page = client.get(PAGE)
    assert page.status_code == 200
    assert texts(page)[0] == "Tilda Kranich read a message"
    assert "from 203.0.113.7" in page.content.decode()


def test_a_look_is_an_event_that_says_what_was_asked(client: Client, security: User) -> None:
    client.get(PAGE, {"person": "Tilda", "group": "mail"})
    (viewed,) = events(Tag.AUDIT_VIEWED)
    assert viewed.actor_id == security.pk
    assert "group mail, person Tilda" in client.get(PAGE).content.decode()
    assert viewed.detail == {"filter": {"group": "mail", "person": "Tilda"}}


def test_pages_by_key_show_every_event_once(client: Client, security: User) -> None:
    made = {str(event.pk) for event in read_mail(120, at=timezone.now())}  # one moment: only the key orders them
    shown: list[str] = []
    url = f"{PAGE}?group=mail"
    while url:
        page = client.get(url).content.decode()
        shown += re.findall(r"/audit/events/(\d+)/", page)
        older = re.search(r'href="(\?[^"#]*before=[^"#]*)#record" rel="next"', page)
        url = PAGE + older[1].replace("&amp;", "&") if older else ""
    assert len(shown) == 120
    assert set(shown) == made


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"group": "mail"}, 2),
        ({"group": "mail", "outcome": "ok"}, 1),
        ({"outcome": "other"}, 1),
        ({"person": "kranich"}, 2),
        ({"person": "nobody"}, 0),
        ({"group": "mail", "period": "hour"}, 1),
        ({"group": "mail", "period": "week"}, 2),
        ({"group": "bogus", "outcome": "bogus", "period": "bogus", "person": "kranich"}, 2),
    ],
)
def test_the_filter_narrows_the_list(client: Client, security: User, query: dict[str, str], count: int) -> None:
    read_mail(outcome="denied")
    read_mail(at=timezone.now() - timedelta(days=2))
    record(Tag.LOGOUT)
    assert len(texts(client.get(PAGE, query))) == count


@pytest.mark.parametrize("cursor", ["x", "1-", "-1", "1-2-3", "9" * 40, "1" * 18 + "-1", f"1-{2**63}", "٣-٣"])
def test_a_wrong_place_in_the_log_is_no_page(client: Client, security: User, cursor: str) -> None:
    assert client.get(PAGE, {"before": cursor}).status_code == 404


@pytest.mark.parametrize("key", ["0", "1" * 18, str(2**63), "9" * 5000, "-1", "x"])
def test_an_event_that_is_not_there_is_no_page(client: Client, security: User, key: str) -> None:
    assert client.get(f"{PAGE}events/{key}/").status_code == 404


def test_the_event_page_shows_its_seal_and_neighbours(client: Client, security: User) -> None:
    read_mail(3)
    seal(now=timezone.now())
    first, second, third = Event.objects.filter(seq__isnull=False).order_by("seq")[:3]
    page = client.get(reverse("audit:event", args=[second.pk])).content.decode()
    assert str(second.hash) in page
    assert all(reverse("audit:event", args=[event.pk]) in page for event in (first, third))
    (viewed,) = events(Tag.AUDIT_VIEWED)
    assert viewed.target_id == str(second.pk)


def test_text_of_strangers_is_neither_markup_nor_steering(client: Client, security: User) -> None:
    hostile = "<script>alert(1)</script>\u202e\x1b[31m{{ 7|add:7 }}"
    with bound(Context(Actor("user", 7, hostile), "203.0.113.7", hostile, "request", "session")):
        event = record(
            Tag.ACCESS_DENIED,
            target=Target("x", hostile, hostile),
            detail={"path": hostile, "cause": {hostile: 1}},
            outcome=hostile[:16],
        )
    for url in (PAGE, reverse("audit:event", args=[event.pk])):
        page = client.get(url, {"person": hostile[:0]}).content.decode()
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert "\x1b" not in page


def test_the_page_says_how_far_the_record_is_sealed_and_verified(client: Client, security: User) -> None:
    read_mail(2)
    assert "Nothing is sealed yet" in client.get(PAGE).content.decode()
    while seal(now=timezone.now()):
        pass
    verify(now=timezone.now())
    page = client.get(PAGE).content.decode()
    assert "Sealed up to" in page
    assert "Verified up to" in page


def test_a_broken_chain_is_said_before_anything_else(client: Client, security: User) -> None:
    from django.db import connection

    read_mail(5)
    seal(now=timezone.now())
    with guards.lifted(connection):
        Event.objects.filter(seq=2).update(outcome="forged")
    verify(now=timezone.now())
    page = client.get(PAGE).content.decode()
    assert "it breaks at event 2" in page
    assert "Verified up to" not in page


def test_pages_keep_to_the_content_policy(client: Client, security: User) -> None:
    (event,) = read_mail()
    for url in (PAGE, reverse("audit:event", args=[event.pk])):
        page = client.get(url)
        html = page.content.decode()
        assert "no-store" in page["Cache-Control"]
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=", html)


def test_a_detail_that_says_nothing_is_left_out_of_the_row(client: Client, security: User) -> None:
    client.get(PAGE)
    row = re.search(r'<p class="audit-row__evidence">(.*?)</p>', client.get(PAGE).content.decode(), re.DOTALL)
    assert row
    assert re.sub(r"<[^>]+>", "", row[1]).strip() == "from 127.0.0.1"
