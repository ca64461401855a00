"""Where a request comes from: forwarded headers count only from trusted proxies, read from the right."""

from ipaddress import ip_network

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from audit.clientip import client_address
from audit.context import ANONYMOUS, Context, current
from audit.middleware import AuditContextMiddleware

pytestmark = pytest.mark.pure

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
CLIENT = "203.0.113.7"
# (peer, X-Forwarded-For, who it is)
SPOOFS = [
    (CLIENT, "", CLIENT),
    (CLIENT, "198.51.100.1", CLIENT),
    (CLIENT, "10.0.0.1", CLIENT),
    ("10.0.0.1", "", "10.0.0.1"),
    ("10.0.0.1", CLIENT, CLIENT),
    ("10.0.0.1", f"198.51.100.1, {CLIENT}", CLIENT),
    ("10.0.0.1", f"127.0.0.1, 10.9.9.9, {CLIENT}, 10.0.0.2", CLIENT),
    ("10.0.0.1", f"{CLIENT}:4711", CLIENT),
    ("10.0.0.1", '"[2001:db8::1]:4711"', "2001:db8::1"),
    ("fd00::1", f"::ffff:{CLIENT}", CLIENT),
    ("::ffff:10.0.0.1", CLIENT, CLIENT),
    ("10.0.0.1", f"{CLIENT}, unknown", "10.0.0.1"),
    ("10.0.0.1", f"{CLIENT}, ' OR 1=1 --, 10.0.0.2", "10.0.0.2"),
    ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ("fd00::1%eth0", CLIENT, CLIENT),
    ("", CLIENT, None),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), SPOOFS)
def test_the_client_is_the_first_hop_nobody_trusts(peer: str, forwarded: str, client: str | None) -> None:
    assert client_address(peer, forwarded, TRUSTED) == client


@pytest.fixture
def proxies(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = TRUSTED


def visit(**meta: str) -> tuple[HttpRequest, Context, HttpResponse]:
    """A request through the middleware: as the view saw it, its context, its response."""
    seen: list[Context] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(current())
        return HttpResponse()

    request = RequestFactory().get("/", **meta)  # type: ignore[arg-type]
    response = AuditContextMiddleware(view)(request)
    return request, seen[0], response


@pytest.mark.usefixtures("proxies")
@pytest.mark.parametrize(
    ("peer", "proto", "secure"),
    [
        ("10.0.0.1", "https", True),
        ("10.0.0.1", "HTTPS, https", True),
        ("10.0.0.1", "https, http", False),
        ("10.0.0.1", "http", False),
        ("10.0.0.1", "", False),
        (CLIENT, "https", False),
    ],
)
def test_https_is_believed_from_a_trusted_proxy_only(peer: str, proto: str, secure: bool) -> None:
    request, _, _ = visit(REMOTE_ADDR=peer, HTTP_X_FORWARDED_PROTO=proto)
    assert request.is_secure() is secure


@pytest.mark.usefixtures("proxies")
def test_forwarded_headers_of_strangers_do_not_reach_a_view() -> None:
    names = ("FOR", "PROTO", "HOST", "PORT", "SSL")
    request, context, _ = visit(
        REMOTE_ADDR=CLIENT, HTTP_FORWARDED="for=10.0.0.1", **{f"HTTP_X_FORWARDED_{name}": "https" for name in names}
    )
    assert not [name for name in request.META if "FORWARDED" in name]
    assert request.audit_ip == context.ip == CLIENT  # type: ignore[attr-defined]


def test_the_user_agent_is_one_line_and_fits_its_column() -> None:
    _, context, _ = visit(HTTP_USER_AGENT="a\r\n\x1b[31m\u202e\u2028\ud800\x00" + "b" * 1000)
    assert context.user_agent.isprintable()
    assert len(context.user_agent) == 255


@pytest.mark.usefixtures("proxies")
@pytest.mark.parametrize(("peer", "kept"), [("10.0.0.1", True), (CLIENT, False)])
def test_a_request_id_is_taken_from_a_trusted_proxy_only(peer: str, kept: bool) -> None:
    _, context, response = visit(REMOTE_ADDR=peer, HTTP_X_REQUEST_ID="abcdef-123456")
    assert (context.request_id == "abcdef-123456") is kept
    assert response["X-Request-ID"] == context.request_id
    _, odd, _ = visit(REMOTE_ADDR=peer, HTTP_X_REQUEST_ID="short\r\nSet-Cookie: x")
    assert len(odd.request_id) == 16


def test_a_visitor_is_anonymous_and_the_context_ends_with_the_request() -> None:
    before = current()
    _, context, _ = visit(REMOTE_ADDR=CLIENT)
    assert context.actor == ANONYMOUS
    assert current() == before
