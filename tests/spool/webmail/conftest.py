"""A small organisation: two people with a mailbox each, a shared mailbox, an admin and a security officer."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.test import Client

from accounts.enums import Role
from accounts.models import User
from spool.enums import RouteState
from spool.models import Mailbox, MailboxMember, Route
from tests.factories.accounts import log_in, make_user
from tests.factories.spool import make_domain, make_mailbox, make_route


@dataclass
class House:
    """People and mailboxes of example.test; its route is down."""

    route: Route
    anna: User
    bert: User
    admin: User
    security: User
    annas: Mailbox
    berts: Mailbox
    sales: Mailbox  # Anna is a member


@pytest.fixture
def house(db: None) -> House:
    route = make_route(name="example.test", state=RouteState.DOWN)
    domain = make_domain("example.test", route=route)
    anna, bert = make_user(email="anna@example.test", name="Anna Amsel"), make_user(email="bert@example.test")
    admin = make_user(email="admin@example.test", role=Role.ADMIN)
    security = make_user(email="security@example.test", role=Role.SECURITY)
    annas = make_mailbox("anna@example.test", domain=domain, user=anna)
    berts = make_mailbox("bert@example.test", domain=domain, user=bert)
    sales = make_mailbox("sales@example.test", domain=domain, shared=True, name="Sales")
    MailboxMember.objects.create(mailbox=sales, user=anna)
    return House(route, anna, bert, admin, security, annas, berts, sales)


@pytest.fixture
def as_user() -> Callable[[User], Client]:
    """as_user(person): a client with a fully verified session."""
    return lambda user: log_in(Client(), user)
