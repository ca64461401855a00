"""Context of every page: the status line, read only when a template asks.

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


def status(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `status` (StatusLine)."""

    def line() -> StatusLine:
        return words(_guarded(lambda: facts(person(request), now=timezone.now()), UNKNOWN))

    return {"status": SimpleLazyObject(line)}
