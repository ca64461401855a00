"""A domain whose primary is down, with people, and a server on it."""

from collections.abc import Iterator

import pytest

from spool.models import Mailbox
from tests.doubles.smtpd import Client, ServerInThread
from tests.factories.spool import make_domain, make_mailbox, make_route


@pytest.fixture
def anna(transactional_db: None) -> Mailbox:
    """anna@example.test, whose primary is down."""
    make_domain("example.test", route=make_route(name="example.test", state="down"))
    return make_mailbox("anna@example.test")


@pytest.fixture
def server(anna: Mailbox) -> Iterator[ServerInThread]:
    with ServerInThread() as running:
        yield running


@pytest.fixture
def client(server: ServerInThread) -> Iterator[Client]:
    with server.client() as connected:
        yield connected
