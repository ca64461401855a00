"""Known browsers: a signed cookie that says who logged in here before. It opens nothing.

Its only use is a throttle counter of its own (accounts.login), so that a stranger who keeps guessing at an
account cannot keep its owner out (OWASP: device cookies).
"""

import secrets

from django.conf import settings
from django.core.signing import BadSignature
from django.http import HttpRequest, HttpResponse

from accounts.models import User

COOKIE = "__Host-browser" if settings.HTTPS else "einbox_browser"
SALT = "accounts.browser"
LIFE = 180 * 86_400  # seconds
MOST = 5  # people who share one browser


def read(request: HttpRequest) -> dict[int, str]:
    """Person -> token, for the people who logged in from this browser; empty if the cookie is not ours."""
    try:
        value = request.get_signed_cookie(COOKIE, default="", salt=SALT, max_age=LIFE)
        pairs = [item.partition(".") for item in (value or "").split("~") if item]
        return {int(user): token for user, _, token in pairs}
    except (BadSignature, ValueError):
        return {}


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Note on `response` that `user` logged in from here."""
    known = read(request)
    known.setdefault(user.pk, secrets.token_urlsafe(16))
    newest = [(user.pk, known.pop(user.pk)), *known.items()][:MOST]
    value = "~".join(f"{person}.{token}" for person, token in newest)
    response.set_signed_cookie(
        COOKIE, value, salt=SALT, max_age=LIFE, secure=settings.HTTPS, httponly=True, samesite="Lax"
    )
