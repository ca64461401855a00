"""Who may call a view, by role. Who may see a mailbox or a message is spool's business."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts import limits, throttle
from accounts.enums import Role
from accounts.models import User
from audit.record import record
from audit.tags import Tag

P = ParamSpec("P")


class AuthenticatedRequest(HttpRequest):
    """What every view behind accounts.middleware gets: an active person with a verified second factor."""

    user: User


View = Callable[Concatenate[AuthenticatedRequest, P], HttpResponseBase]


@transaction.atomic
def record_denied(request: HttpRequest, user: User, *, cause: str) -> None:
    """One event per person and path in ten minutes: knocking again and again says no more."""
    now = timezone.now()
    subject = throttle.counter(limits.DENIED, f"{user.pk} {request.path}")
    if isinstance(throttle.take([subject], now=now), throttle.Taken):
        detail: dict[str, Any] = {"path": request.path, "method": request.method, "cause": cause}
        record(Tag.ACCESS_DENIED, detail=detail, outcome="denied", at=now)


def role_required(*roles: Role) -> Callable[[View[P]], View[P]]:
    """Let only `roles` call the view; others get 403 and leave an event."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def checked(request: AuthenticatedRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if request.user.role not in roles:
                record_denied(request, request.user, cause="role")
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return checked

    return decorate
