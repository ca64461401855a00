"""Who reads: the person behind a request, in the time zone of that person."""

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts.models import User


def reader(request: HttpRequest) -> User:
    """The person; behind accounts.middleware there is always one, fully logged in."""
    assert isinstance(request.user, User)
    return request.user


class ReaderTimeMiddleware:
    """Shows times in the reader's zone; the database holds UTC."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        name = getattr(request.user, "time_zone", "")
        if not name:
            return self.get_response(request)
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return self.get_response(request)
        with timezone.override(zone):
            return self.get_response(request)
