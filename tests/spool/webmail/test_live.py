"""The live list: 304 while nothing changed, a new list when anything a reader sees did."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from audit.models import Event
from spool.enums import DeliveryState, RouteState
from spool.models import Delivery, Outage, Overlay, Route
from spool.queue import parsing
from tests.factories.spool import make_message
from tests.spool.webmail.conftest import House
from tests.spool.webmail.letters import plain

BACKGROUND = {"Einbox-Background": "1", "HX-Request": "true"}


def poll(client: Client, tag: str = "") -> tuple[int, str, str]:
    answer = client.get("/live", headers={**BACKGROUND, "If-None-Match": tag})
    return answer.status_code, answer.headers["ETag"], answer.content.decode()


def test_nothing_new_is_304_without_a_body(house: House, as_user: Callable[[User], Client]) -> None:
    make_message(mailbox=house.annas)
    client = as_user(house.anna)
    status, tag, body = poll(client)
    assert status == 200
    assert 'id="live"' in body
    assert poll(client, tag) == (304, tag, "")


def test_the_tag_of_the_page_is_the_tag_of_the_poll(house: House, as_user: Callable[[User], Client]) -> None:
    make_message(mailbox=house.annas)
    client = as_user(house.anna)
    tag = client.get("/").context["etag"]
    assert poll(client, tag)[0] == 304


def change_new_mail(house: House) -> None:
    make_message(plain("second"), mailbox=house.sales)


def change_mark(house: House) -> None:
    delivery = Delivery.objects.get(mailbox=house.annas)
    Overlay.objects.create(user=house.anna, message=delivery.message, starred=True)


def change_parsed(house: House) -> None:
    parsing.sweep(now=timezone.now())


def change_delivered(house: House) -> None:
    now = timezone.now()
    Delivery.objects.filter(mailbox=house.annas).update(state=DeliveryState.DELIVERED, finished_at=now)


def change_route(house: House) -> None:
    house.route.state = RouteState.RECOVERING
    house.route.save()


def change_announcement(house: House) -> None:
    now = timezone.now()
    Outage.objects.create(route=house.route, opened_at=now, announcement="Back at three.", announced_at=now)


@pytest.mark.parametrize(
    "change",
    [change_new_mail, change_mark, change_parsed, change_delivered, change_route, change_announcement],
)
def test_a_change_is_a_new_list(
    house: House, as_user: Callable[[User], Client], change: Callable[[House], None]
) -> None:
    make_message(mailbox=house.annas)
    client = as_user(house.anna)
    _, tag, _ = poll(client)
    change(house)
    status, other, _ = poll(client, tag)
    assert (status, other == tag) == (200, False)
    assert poll(client, other)[0] == 304


def test_others_mail_changes_nothing(house: House, as_user: Callable[[User], Client]) -> None:
    client = as_user(house.anna)
    _, tag, _ = poll(client)
    make_message(mailbox=house.berts)
    assert poll(client, tag)[0] == 304


def test_a_delivered_line_leaves_with_its_time_and_is_gone_a_little_later(
    house: House, as_user: Callable[[User], Client]
) -> None:
    message = make_message(plain("Going"), mailbox=house.annas)
    client = as_user(house.anna)
    now = timezone.now()
    Delivery.objects.filter(message=message).update(state=DeliveryState.DELIVERED, finished_at=now)
    body = poll(client)[2]
    assert "line--leaving" in body
    assert f"delivered {timezone.localtime(now):%H:%M}" in body
    Delivery.objects.filter(message=message).update(finished_at=now - timedelta(seconds=7))
    assert "Going" not in poll(client)[2]


def test_a_poll_reads_no_content_and_is_no_event(house: House, as_user: Callable[[User], Client]) -> None:
    make_message(mailbox=house.annas)
    client = as_user(house.anna)
    tag = poll(client)[1]
    before = Event.objects.count()
    with CaptureQueriesContext(connection) as captured:
        poll(client, tag)
    sql = [query["sql"] for query in captured.captured_queries]
    assert not [text for text in sql if '"content"' in text or "snippet" in text]
    assert Event.objects.count() == before


@pytest.mark.parametrize("query", ["folder=../x", "box=x", "box=99999999", "box=9999999999999999999999", "box=-1"])
def test_garbage_is_404(house: House, as_user: Callable[[User], Client], query: str) -> None:
    assert as_user(house.anna).get(f"/live?{query}").status_code == 404


def test_every_count_of_the_page_goes_along_with_the_list(house: House, as_user: Callable[[User], Client]) -> None:
    """The list shows one page; title, head, side nav and tabs count the whole inbox, and fall to nothing."""
    for number in range(45):
        make_message(plain(f"mail {number}"), mailbox=house.annas)
    make_message(plain("to sales"), mailbox=house.sales)
    client = as_user(house.anna)
    page = client.get("/").content.decode()
    asked = client.get("/live?status=full", headers=BACKGROUND).content.decode()
    for body in (page, asked):
        assert "(46)" in body
        assert "46 unread" in body
    assert 'id="count-inbox" title="unread" hx-swap-oob="true">46<' in asked
    assert 'id="tab-count-inbox" hx-swap-oob="true">46<' in asked
    assert f'id="count-box-{house.sales.pk}" title="unread" hx-swap-oob="true">1<' in asked
    Delivery.objects.update(state=DeliveryState.DELIVERED, finished_at=timezone.now() - timedelta(minutes=1))
    empty = client.get("/live?status=full", headers=BACKGROUND).content.decode()
    assert 'id="count-inbox" title="unread" hx-swap-oob="true" hidden>0<' in empty
    assert "<title>Inbox" in empty


def test_a_poll_beside_an_open_message_keeps_its_title(house: House, as_user: Callable[[User], Client]) -> None:
    assert "<title>" not in poll(as_user(house.anna))[2]


def test_an_open_page_loses_its_write_button_when_the_server_is_back(
    house: House, as_user: Callable[[User], Client]
) -> None:
    client = as_user(house.anna)
    Route.objects.update(state=RouteState.DOWN)
    _status, tag, body = poll(client)
    assert '<a id="write-nav"' in body
    assert '<a id="write-tabs"' in body
    Outage.objects.update(closed_at=timezone.now())
    Route.objects.update(state=RouteState.UP, confirmed_at=timezone.now())
    status, _tag, body = poll(client, tag)
    assert status == 200
    assert '<a id="write' not in body
    assert '<span id="write-nav" class="unseen" hx-swap-oob="true">The mail server is working' in body


def test_the_sentence_beside_the_list_goes_along_with_it(house: House, as_user: Callable[[User], Client]) -> None:
    """Beside an open message there is none."""
    make_message(mailbox=house.annas)
    client = as_user(house.anna)
    assert '<p id="choose">Choose a message' in client.get("/").content.decode()
    Delivery.objects.update(state=DeliveryState.DELIVERED, finished_at=timezone.now() - timedelta(minutes=1))
    for size in ("full", "line"):
        body = client.get(f"/live?status={size}", headers=BACKGROUND).content.decode()
        assert '<p id="choose" hx-swap-oob="true">Nothing to read.' in body
    assert 'id="choose"' not in client.get("/live?status=pane", headers=BACKGROUND).content.decode()
