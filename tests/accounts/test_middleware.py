"""The gate: closed by default, honest to htmx, deaf to foreign hosts, forms and redirects."""

import pytest
from django.test import Client, override_settings

from accounts.middleware import OPEN_ROUTES, safe_next
from audit.models import Event
from audit.tags import Tag
from tests.accounts.pages import LOGIN, LOGOUT, VERIFY, enter_code, enter_password, is_in
from tests.factories.accounts import code_for, log_in, make_user

pytestmark = pytest.mark.django_db

LEAVING = [
    "https://evil.test", "http://evil.test/", "//evil.test", "///evil.test", "////evil.test", "/\\evil.test",
    "\\\\evil.test", "\\/evil.test", "/%5cevil.test/../..//evil.test", "https:evil.test", "https:/evil.test",
    "http:///evil.test", "HTTPS://evil.test", "javascript:alert(1)", "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "mailto:a@evil.test", "ftp://evil.test",
    "//evil.test\\@localhost", "http://localhost@evil.test", "http://evil.test#localhost",
    "http://evil.test?localhost", "https://localhost.evil.test", "\t//evil.test", " //evil.test",
    "/\t/evil.test", "/\n/evil.test", "/\r/evil.test", "\x00//evil.test", "//\u3002evil.test",
    "//evil\u3002test", "//evil.test:80", "//[::1]", "http://[evil.test", "http://[::1]evil.test",
    "//evil.test/%2f..", "./\\evil.test", ".//evil.test//evil.test", "?//evil.test", "evil.test",
    "localhost:8025", "", "http:evil.test",
]  # fmt: skip


def stays(goal: str) -> bool:
    return goal.startswith("/") and not goal.startswith(("//", "/\\")) and ("evil.test" not in goal or "%5c" in goal)


def test_no_redirect_leaves(client: Client) -> None:
    log_in(client, make_user())
    goals = {target: str(client.get(LOGIN, {"next": target})["Location"]) for target in LEAVING}
    assert len(goals) >= 45
    assert {target: goal for target, goal in goals.items() if not stays(goal)} == {}
    assert {target: safe_next(target) for target in LEAVING} == goals


@pytest.mark.parametrize("target", ["https://evil.test", "//evil.test", "/\\evil.test"])
def test_no_log_in_leaves(client: Client, target: str) -> None:
    user = make_user()
    client.post(LOGIN, {"username": user.email, "password": "four quiet otters sail", "next": target})
    assert enter_code(client, code_for(user))["Location"] == "/"


def test_log_in_leads_back_to_the_page_asked_for(client: Client) -> None:
    user = make_user()
    asked = client.get("/m/0123456789ABC/?part=2")
    assert asked["Location"] == f"{LOGIN}?next=%2Fm%2F0123456789ABC%2F%3Fpart%3D2"
    page = client.get(asked["Location"]).content.decode()
    assert 'name="next" value="/m/0123456789ABC/?part=2"' in page
    client.post(
        LOGIN, {"username": user.email, "password": "four quiet otters sail", "next": "/m/0123456789ABC/?part=2"}
    )
    assert enter_code(client, code_for(user))["Location"] == "/m/0123456789ABC/?part=2"


def test_the_list_of_open_routes() -> None:
    assert sorted(OPEN_ROUTES) == [
        "accounts:enrol",
        "accounts:invite",
        "accounts:logged-out",
        "accounts:login",
        "accounts:recovery",
        "accounts:verify",
        "healthz",
        "metrics",
        "readyz",
    ]


@pytest.mark.parametrize(
    "path", ["/no-such-page/", "/admin/", "/static", "/account/", "/account/logout/", "/healthz/", "//healthz"]
)
def test_what_is_not_open_is_closed(client: Client, path: str) -> None:
    assert client.get(path)["Location"].startswith(LOGIN)
    assert client.post(path).status_code == 303


def test_htmx_is_told_to_leave_the_page(client: Client) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost:8025/folder/starred/?page=2"}
    answer = client.get("/live/", headers=headers)
    assert (answer.status_code, answer["HX-Redirect"]) == (401, f"{LOGIN}?next=%2Ffolder%2Fstarred%2F")
    assert answer.content == b""
    headers["HX-Current-URL"] = "http://["
    answer = client.get("/live/", headers=headers)
    assert (answer.status_code, answer["HX-Redirect"]) == (401, LOGIN)


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.test", 400),
        ("Host", "localhost.evil.test", 400),
        ("Host", "localhost@evil.test", 400),
        ("Host", "localhost:80#@evil.test", 400),
        ("Host", "evil.test:8025", 400),
        ("Host", "", 400),
        ("X-Forwarded-Host", "evil.test", 200),
        ("X_Forwarded_Host", "evil.test", 200),
        ("Forwarded", "host=evil.test", 200),
        ("X-Host", "evil.test", 200),
        ("X-Original-URL", "/healthz", 200),
        ("X-Forwarded-Server", "evil.test", 200),
    ],
)
def test_foreign_hosts_reach_no_page_and_no_link(client: Client, header: str, value: str, status: int) -> None:
    page = client.get(LOGIN, headers={"Host": "localhost", header: value})
    assert page.status_code == status
    assert "evil.test" not in page.content.decode()
    closed = client.get("/", headers={"Host": "localhost", header: value})
    assert closed.status_code == (400 if status == 400 else 302)
    assert "evil.test" not in closed.headers.get("Location", "")


@override_settings(PUBLIC_URL="https://einbox.example.org")
def test_links_come_from_the_settings() -> None:
    from django.utils import timezone

    from accounts import provision

    link = provision.invite(provision.create_user(email="new@example.org"), now=timezone.now())
    assert link.startswith("https://einbox.example.org/account/enrol/")


@pytest.mark.parametrize("path", [LOGIN, VERIFY, "/account/recovery/", "/account/enrol/", LOGOUT])
def test_forms_from_elsewhere_are_refused(path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    log_in(client, make_user())
    assert client.post(path, {"code": "123456"}).status_code == 403
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert Client().post(path, {"code": "123456"}, headers=cross).status_code == 403
    assert client.post(path, headers={"Origin": "https://evil.test"}).status_code == 403
    assert is_in(client)


def test_the_csrf_secret_changes_at_log_in(client: Client) -> None:
    user = make_user()
    secrets = []
    client.get(LOGIN)
    secrets.append(client.cookies["einbox_csrf"].value)
    enter_password(client, user.email)
    secrets.append(client.cookies["einbox_csrf"].value)
    enter_code(client, code_for(user))
    secrets.append(client.cookies["einbox_csrf"].value)
    assert len(set(secrets)) == 3


def test_cookies_are_closed_to_scripts(client: Client) -> None:
    user = make_user()
    client.get(LOGIN)
    enter_password(client, user.email)
    enter_code(client, code_for(user))
    for name in ("einbox_session", "einbox_csrf", "einbox_browser"):
        assert client.cookies[name]["httponly"]
        assert client.cookies[name]["samesite"] == "Lax"


def test_pages_before_log_in_are_not_cached(client: Client) -> None:
    page = client.get(LOGIN)
    assert page["Cache-Control"] == "no-store"
    assert "Cookie" in page["Vary"]
    assert page["X-Frame-Options"] == "DENY"


def test_events_of_a_request_name_the_person(client: Client) -> None:
    user = make_user()
    log_in(client, user)
    client.post(LOGOUT)
    event = Event.objects.get(tag=Tag.LOGOUT.value)
    assert (event.actor_kind, event.actor_id, len(event.session)) == ("user", user.pk, 32)


def test_a_stranger_acts_as_nobody(client: Client) -> None:
    enter_password(client, "nobody@example.org")
    event = Event.objects.get(tag=Tag.LOGIN_REFUSED.value)
    assert (event.actor_kind, event.actor_id, event.target_kind) == ("anonymous", None, "")
