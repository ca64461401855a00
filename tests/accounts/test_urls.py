"""Every URL of the URLconf, visited without log-in, with a password only, and in each role."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse

from accounts.enums import Role
from accounts.middleware import OPEN_ROUTES
from tests.accounts import url_table
from tests.accounts.pages import LOGIN, enter_password
from tests.factories.accounts import log_in, make_user

pytestmark = pytest.mark.django_db


def routes(resolver: URLResolver | None = None, space: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from routes(entry, f"{space}{entry.namespace}:" if entry.namespace else space)
        else:
            yield f"{space}{entry.name}", entry


def path_of(name: str, pattern: URLPattern) -> str:
    """The path with arguments that fit: from the table by name, or of nothing that exists."""
    wanted = list(pattern.pattern.converters) or list(pattern.pattern.regex.groupindex)
    for standard in (url_table.ANY_ID, url_table.ANY_NUMBER):
        arguments = {argument: url_table.ARGUMENTS.get(argument, standard) for argument in wanted}
        with suppress(NoReverseMatch):
            return reverse(name, kwargs=arguments)
    message = f"no arguments for {name}: add them to tests/accounts/url_table.py"
    raise AssertionError(message)


ROUTES = {name: path_of(name, pattern) for name, pattern in routes()}
CLOSED = {name: path for name, path in ROUTES.items() if name not in OPEN_ROUTES}
METHODS = ("get", "post", "put", "delete", "head", "options")


def stranger() -> Client:
    return Client()


def with_password_only() -> Client:
    client = Client()
    assert enter_password(client, make_user().email).status_code == 302
    return client


def test_every_route_has_a_name_and_every_open_route_exists() -> None:
    assert not [name for name, _pattern in routes() if name.endswith("None")]
    assert set(ROUTES) >= OPEN_ROUTES == set(url_table.OPEN)


@pytest.mark.parametrize("visitor", [stranger, with_password_only])
def test_closed_routes_lead_to_the_log_in(visitor: type[Client]) -> None:
    client, surprises = visitor(), []
    for name, path in CLOSED.items():
        for method in METHODS:
            answer = getattr(client, method)(path)
            expected = 302 if method in {"get", "head"} else 303
            if answer.status_code != expected or not answer["Location"].startswith(LOGIN):
                surprises.append((name, method, answer.status_code))
    assert surprises == []


def test_open_routes_answer_a_stranger_as_listed() -> None:
    answers = {name: Client().get(ROUTES[name]).status_code for name in url_table.OPEN}
    assert answers == url_table.OPEN


@pytest.mark.parametrize("role", list(Role))
def test_no_role_gets_an_unexpected_page(role: Role) -> None:
    client = log_in(Client(), make_user(role=role))
    answers = {name: client.get(path).status_code for name, path in CLOSED.items() if name != "accounts:logout"}
    opened = {name for name, status in answers.items() if status == 200}
    expected = {name for name, roles in url_table.OPENS.items() if role in roles}
    assert opened == expected, "a new route? Add its line to tests/accounts/url_table.py"
    assert {name: status for name, status in answers.items() if status >= 500} == {}
