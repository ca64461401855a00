"""Roles: who may not call a view gets 403 and leaves one event."""

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from accounts.access import AuthenticatedRequest, role_required
from accounts.enums import Role
from audit.models import Event
from audit.tags import Tag
from tests.factories.accounts import make_user

pytestmark = pytest.mark.django_db


@role_required(Role.SECURITY, Role.ADMIN)
def secret(request: AuthenticatedRequest, name: str) -> HttpResponse:
    return HttpResponse(name)


def visit(role: Role, path: str = "/audit/") -> HttpResponse:
    request: HttpRequest = RequestFactory().get(path)
    request.user = make_user(role=role, factor=False)
    return secret(request, "x")  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("role", [Role.SECURITY, Role.ADMIN])
def test_named_roles_pass(role: Role) -> None:
    assert visit(role).content == b"x"
    assert not Event.objects.filter(tag=Tag.ACCESS_DENIED.value).exists()


def test_others_are_refused_and_recorded() -> None:
    with pytest.raises(PermissionDenied):
        visit(Role.EMPLOYEE)
    event = Event.objects.get(tag=Tag.ACCESS_DENIED.value)
    assert event.detail == {"path": "/audit/", "method": "GET", "cause": "role"}


def test_knocking_again_and_again_is_one_event() -> None:
    user = make_user(role=Role.EMPLOYEE, factor=False)
    for path in ["/audit/"] * 20 + ["/console/"] * 20:
        request: HttpRequest = RequestFactory().get(path)
        request.user = user
        with pytest.raises(PermissionDenied):
            secret(request, "x")  # type: ignore[arg-type]
    assert Event.objects.filter(tag=Tag.ACCESS_DENIED.value).count() == 2
