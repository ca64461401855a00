"""A browser of the tests: walks the log-in pages as a person does."""

import re

from django.http import HttpResponse
from django.test import Client

from tests.factories.accounts import PASSWORD

LOGIN, VERIFY, RECOVERY = "/account/login/", "/account/verify/", "/account/recovery/"
LOGOUT, ENROL = "/account/logout/", "/account/enrol/"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"')


def post(client: Client, path: str, data: dict[str, str], *, ip: str = "192.0.2.1") -> HttpResponse:
    return client.post(path, data, REMOTE_ADDR=ip)  # type: ignore[return-value]  # the test client's own class


def enter_password(client: Client, email: str, password: str = PASSWORD, *, ip: str = "192.0.2.1") -> HttpResponse:
    return post(client, LOGIN, {"username": email, "password": password}, ip=ip)


def enter_code(client: Client, code: str, *, ip: str = "192.0.2.1") -> HttpResponse:
    return post(client, VERIFY, {"code": code}, ip=ip)


def is_in(client: Client) -> bool:
    """Whether pages behind the gate answer at all (this one does not exist)."""
    return client.get("/no-such-page/").status_code == 404


def visible(response: HttpResponse) -> str:
    """The page without what must differ between two of them."""
    return TOKEN.sub("", response.content.decode())
