"""A database that cannot be asked is said as what it is: for now."""

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from django.urls import path

from accounts.crypto import DecryptionError
from einbox import urls as product
from spool.enums import RouteState
from tests.factories.accounts import log_in, make_user
from tests.factories.spool import make_route

handler500 = product.handler500


def busy(_request: object) -> HttpResponse:
    raise OperationalError("database is locked")


def broken(_request: object) -> HttpResponse:
    raise ValueError("secret")


def sealed(_request: object) -> HttpResponse:
    raise DecryptionError("secret")


urlpatterns = [
    *product.urlpatterns,
    path("account/login/busy", busy),
    path("account/login/broken", broken),
    path("account/login/sealed", sealed),
]


@pytest.mark.django_db
@pytest.mark.urls("tests.einbox.test_errors")
@pytest.mark.parametrize(("page", "status"), [("busy", 503), ("broken", 500), ("sealed", 503)])
def test_a_busy_database_and_a_missing_key_are_503_and_a_fault_500(
    page: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.middleware.is_open", lambda _path: True)
    answer = Client(raise_request_exception=False).get(f"/account/login/{page}")
    assert answer.status_code == status
    assert ("Retry-After" in answer.headers) is (page == "busy")
    assert b"secret" not in answer.content


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nowhere", 404, "Mail that waits for you is in your inbox."),
        ("/console/", 403, "Mail that you may read is in your inbox."),
    ],
)
def test_who_is_logged_in_is_not_asked_to_log_in(path: str, status: int, said: str) -> None:
    make_route(name="example.test", state=RouteState.DOWN)
    answer = log_in(Client(), make_user()).get(path)
    page = answer.content.decode()
    assert answer.status_code == status
    assert "Mail server down since" in page
    assert said in page
    assert "Log in" not in page
