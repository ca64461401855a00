"""Every URL is closed (rule 9). OPEN_ROUTES is the whole list of exceptions; a test asserts it.

Behind the gate a request has an active person, a verified factor and a live session, and the audit context has
that person as its actor.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from accounts import sessions
from accounts.models import User, UserSession
from audit.context import ANONYMOUS, bound, current

GetResponse = Callable[[HttpRequest], HttpResponse]

OPEN_ROUTES = frozenset(
    {
        "healthz",
        "readyz",
        "metrics",  # asks for its own token
        "accounts:login",
        "accounts:verify",
        "accounts:recovery",
        "accounts:invite",
        "accounts:enrol",
        "accounts:logged-out",
    }
)
# A page's own polling carries this header, so that an open tab does not keep a session alive.
BACKGROUND = "Einbox-Background"


class DefaultDenyMiddleware:
    """Refuses what is not open, before URL arguments are read and before any view runs."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        row = live_session(request)
        if row is None and not is_open(request.path_info):
            return refuse(request)
        with acting_for(request, row):
            return self.get_response(request)


def is_open(path: str) -> bool:
    try:
        return resolve(path).view_name in OPEN_ROUTES
    except Resolver404:
        return False


def live_session(request: HttpRequest) -> UserSession | None:
    """The live, verified session of this request. A session that is over is emptied."""
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        return None
    background = BACKGROUND in request.headers
    row = None
    if user.is_verified():  # type: ignore[attr-defined]  # set by django-otp's middleware
        row = sessions.live(user, request.session.session_key, now=timezone.now(), background=background)
    if row is None:
        request.session.flush()
    return row


def acting_for(request: HttpRequest, row: UserSession | None) -> AbstractContextManager[None]:
    if row is None:
        return bound(replace(current(), actor=ANONYMOUS))
    assert isinstance(request.user, User)
    actor = sessions.actor_of(request.user)
    drill = current().drill or request.user.is_drill
    return bound(replace(current(), actor=actor, session=row.key_hash[:32], drill=drill))


def safe_next(url: str | None) -> str:
    """`url` if it leads to a page of ours, else the inbox. Only the path and query are kept."""
    if not url or not url_has_allowed_host_and_scheme(url, allowed_hosts=None):
        return settings.LOGIN_REDIRECT_URL
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return path if path.startswith("/") and not path.startswith("//") else settings.LOGIN_REDIRECT_URL


def path_of(url: str) -> str:
    """The path of an address somebody sent us; empty if it is none."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def refuse(request: HttpRequest) -> HttpResponse:
    """To the log-in page and back afterwards; htmx is told in a header, since it would swap the page in."""
    target = safe_next(request.get_full_path()) if request.method in {"GET", "HEAD"} else "/"
    if request.headers.get("HX-Request") == "true":
        response = HttpResponse(status=401)
        response.headers["HX-Redirect"] = login_url(safe_next(path_of(request.headers.get("HX-Current-URL", ""))))
        return response
    return HttpResponseRedirect(login_url(target), status=302 if request.method in {"GET", "HEAD"} else 303)


def login_url(target: str) -> str:
    url = reverse("accounts:login")
    return url if target == settings.LOGIN_REDIRECT_URL else f"{url}?{urlencode({'next': target})}"
