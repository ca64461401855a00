"""Who may see the log: views name roles, and the person of the request must have one of them.

audit is the ground floor and imports nobody, so a role is the text that stands in `request.user.role`. That the person
has passed the second factor is settled before, by accounts.middleware. A view's roles are also its attribute
`required_roles`, for whoever lists or checks all views.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from audit.record import record
from audit.tags import Tag

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

SECURITY = "security"


def roles_required(*roles: str) -> Callable[[View[P]], View[P]]:
    """Let only people with one of `roles` in; others get 403 and leave an event. Nobody logged in has no role."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if getattr(request.user, "role", None) not in roles:
                with transaction.atomic():
                    detail = {"path": request.path, "method": request.method, "cause": "role"}
                    record(Tag.ACCESS_DENIED, detail=detail, outcome="denied")
                raise PermissionDenied
            return view(request, *args, **kwargs)

        checked.required_roles = roles  # type: ignore[attr-defined]
        return checked

    return decorate
