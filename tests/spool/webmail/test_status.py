"""The status line: whose routes, which sentence, and what happens without a database."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.utils import timezone

from spool.enums import DeliveryState, RouteState
from spool.models import Delivery, Outage
from spool.webmail import context, places
from spool.webmail.status import facts, words
from tests.factories.spool import make_domain, make_message, make_route
from tests.spool.webmail.conftest import House


@pytest.mark.parametrize(
    ("state", "tint", "mark", "open_for_writing"),
    [
        (RouteState.UP, "ok", "healthy", False),
        (RouteState.SUSPECT, "hold", "down", True),
        (RouteState.DOWN, "hold", "down", True),
        (RouteState.RECOVERING, "ok", "draining", True),
    ],
)
def test_each_state_has_its_tint_drawing_and_words(
    house: House, state: RouteState, tint: str, mark: str, open_for_writing: bool
) -> None:
    now = timezone.now()
    house.route.state, house.route.confirmed_at = state, now
    house.route.save()
    line = words(facts(house.anna, now=now))
    assert (line.tint, line.mark, line.writing_open) == (tint, mark, open_for_writing)
    for sentence in (line.headline, line.short, line.sentence, line.gate):
        assert len(sentence.split()) <= 16


def test_an_up_that_nobody_confirmed_is_not_believed(house: House) -> None:
    now = timezone.now()
    house.route.state, house.route.confirmed_at = RouteState.UP, now - timedelta(seconds=61)
    house.route.save()
    assert words(facts(house.anna, now=now)).tint == "hold"


def test_the_worst_route_counts_and_only_his_own(house: House) -> None:
    now = timezone.now()
    house.route.state, house.route.confirmed_at = RouteState.UP, now
    house.route.save()
    make_domain("other.test", route=make_route(name="other.test", state=RouteState.DOWN))
    assert words(facts(house.anna, now=now)).state == "up"
    assert words(facts(None, now=now)).state == "down"


def test_progress_counts_his_own_messages(house: House) -> None:
    now = timezone.now()
    house.route.state = RouteState.RECOVERING
    house.route.save()
    Outage.objects.create(route=house.route, opened_at=now - timedelta(hours=1))
    for boxes in ((house.annas,), (house.sales,), (house.berts,), (house.annas, house.sales)):
        make_message(mailboxes=boxes)
    Delivery.objects.filter(mailbox=house.annas).update(state=DeliveryState.DELIVERED, finished_at=now)
    line = words(facts(house.anna, now=now))
    assert (line.delivered, line.total) == (1, 3)
    withdrawn = Delivery.objects.filter(mailbox=house.sales)
    withdrawn.update(state=DeliveryState.REMOVED, finished_at=now)  # by security: nothing he waits for
    line = words(facts(house.anna, now=now))
    assert (line.delivered, line.total) == (2, 2)


def test_before_log_in_the_line_tells_the_state_and_no_announcement(house: House, client: Client) -> None:
    Outage.objects.create(route=house.route, opened_at=timezone.now(), announcement="The key is under the mat.")
    page = client.get("/account/login/").content.decode()
    assert "Mail server down since" in page
    assert "under the mat" not in page


def test_a_failing_database_does_not_break_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_more: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(context, "facts", fail)
    monkeypatch.setattr(context, "person", fail)  # who it is, the database knows, too
    monkeypatch.setattr(places, "of", fail)
    found = context.status(RequestFactory().get("/"))
    assert found["status"].state == "unknown"
    assert found["places"].unread == 0
