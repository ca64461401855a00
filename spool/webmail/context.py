"""Context of every page: the status line and the places in the side nav, read only when a template asks.

A failing database never breaks a page here: the status line then says that the state is not known.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from spool.webmail import places
from spool.webmail.status import UNKNOWN, StatusLine, facts, words

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


def person(request: HttpRequest) -> User | None:
    """Who is fully logged in: a password alone counts as nobody."""
    user = getattr(request, "user", None)
    verified = getattr(user, "is_verified", None)
    return user if isinstance(user, User) and verified is not None and verified() else None


def _guarded(read: Callable[[], Result], fallback: Result) -> Result:
    try:
        return read()
    except DatabaseError as error:
        logger.warning("status line without database: %s", type(error).__name__)
        return fallback


def status_line(request: HttpRequest) -> StatusLine:
    """The status line of this request, read once."""
    line: StatusLine | None = getattr(request, "_einbox_status", None)
    if line is None:
        line = words(_guarded(lambda: facts(person(request), now=timezone.now()), UNKNOWN))
        request._einbox_status = line  # type: ignore[attr-defined]  # noqa: SLF001 - once per request
    return line


def counts(request: HttpRequest, user: User) -> places.Counts:
    """The counts of this request: list, side nav and entity tag say the same, and ask once."""
    found: places.Counts | None = getattr(request, "_einbox_counts", None)
    if found is None:
        found = request._einbox_counts = places.Counts(user)  # type: ignore[attr-defined]  # noqa: SLF001
    return found


def status(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `status` (StatusLine) and `places` (side nav)."""

    def side() -> places.Places:
        user = person(request)
        return places.of(counts(request, user)) if user else places.NOWHERE

    return {
        "status": SimpleLazyObject(lambda: status_line(request)),
        "places": SimpleLazyObject(lambda: _guarded(side, places.NOWHERE)),
    }
