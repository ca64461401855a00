"""The list: what it asks the database, what a line is, how pages follow each other."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from spool.enums import DeliveryState
from spool.models import Delivery, Message, MessageText, Overlay
from spool.queue import parsing
from spool.queue.ingest import Recipient
from spool.webmail import listing, places
from tests.factories.spool import make_message
from tests.spool.webmail.conftest import House
from tests.spool.webmail.letters import plain

CONTENT = ('"spool_message"."content"', "content_file", "spool_contentchunk", "spool_messagetext")


def ask(client: Client, path: str = "/") -> tuple[str, list[str]]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode(), [query["sql"] for query in captured.captured_queries]


def test_the_number_of_queries_does_not_grow_and_no_content_is_read(
    house: House, as_user: Callable[[User], Client]
) -> None:
    client = as_user(house.anna)
    make_message(plain("first"), mailbox=house.annas)
    _, one = ask(client)
    for number in range(29):
        make_message(plain(f"mail {number}"), mailbox=house.annas)
    page, thirty = ask(client)
    assert page.count("data-line=") == 30
    assert len(thirty) == len(one)
    assert not [sql for sql in thirty for column in CONTENT if column in sql]


def test_several_recipients_in_one_mailbox_are_one_line_that_leaves_with_the_last(house: House) -> None:
    box = house.annas
    to = tuple(
        Recipient(path, house.route.pk, mailbox_id=box.pk, visible=True)
        for path in ("anna@example.test", "anna+x@example.test")
    )
    message = make_message(recipients=to)
    assert [line.public_id for line in listing.page(house.anna).lines] == [message.public_id]
    first, second = Delivery.objects.filter(message=message).order_by("pk")
    now = timezone.now()
    for delivery, left in ((second, 1), (first, 0)):
        delivery.state, delivery.finished_at = DeliveryState.DELIVERED, now
        delivery.save()
        assert len(listing.page(house.anna).lines) == left
        assert len(listing.leaving(house.anna, now=now)) == 1 - left


def test_one_message_for_two_of_his_mailboxes_is_one_line_in_each_list(house: House) -> None:
    make_message(mailboxes=(house.annas, house.sales, house.berts))
    make_message(mailbox=house.annas)
    assert [line.mailboxes for line in listing.page(house.anna).lines] == [(), ("Sales",)]
    assert [line.mailboxes for line in listing.page(house.anna, box=house.sales).lines] == [("Sales",)]
    assert [line.mailboxes for line in listing.page(house.bert).lines] == [()]


def test_a_line_of_two_mailboxes_leaves_each_list_when_nothing_waits_there(house: House) -> None:
    message, now = make_message(mailboxes=(house.annas, house.sales)), timezone.now()
    for box, staying in ((house.sales, [()]), (house.annas, [])):
        Delivery.objects.filter(message=message, mailbox=box).update(state=DeliveryState.DELIVERED, finished_at=now)
        assert [line.mailboxes for line in listing.page(house.anna).lines] == staying
        assert [line.public_id for line in listing.leaving(house.anna, now=now, box=house.sales)] == [message.public_id]
        assert listing.page(house.anna, box=house.sales).lines == ()
    assert [line.public_id for line in listing.leaving(house.anna, now=now)] == [message.public_id]


def test_a_line_leaves_with_its_last_delivery_whichever_that_is(house: House) -> None:
    for first, last in ((house.annas, house.sales), (house.sales, house.annas)):
        message, now = make_message(mailboxes=(house.annas, house.sales)), timezone.now()
        for box, ago in ((first, 60), (last, 0)):
            gone = {"state": DeliveryState.DELIVERED, "finished_at": now - timedelta(seconds=ago)}
            Delivery.objects.filter(message=message, mailbox=box).update(**gone)
        assert [line.public_id for line in listing.leaving(house.anna, now=now)] == [message.public_id]
        Delivery.objects.filter(message=message).update(finished_at=now - timedelta(seconds=60))


def test_pages_follow_each_other_without_gap_or_repeat(house: House) -> None:
    moment = timezone.now()
    made = {
        make_message(plain(f"m{number}"), mailbox=house.annas, now=moment - timedelta(seconds=number // 3)).public_id
        for number in range(10)
    }
    seen: list[str] = []
    after = ""
    while True:
        page = listing.page(house.anna, after=after, size=3)
        seen += [line.public_id for line in page.lines]
        if not (after := page.more):
            break
    assert len(seen) == 10
    assert set(seen) == made


@pytest.mark.parametrize(
    ("marks", "folders"),
    [
        ({}, {"inbox"}),
        ({"starred": True}, {"inbox", "starred"}),
        ({"archived": True}, {"archive"}),
        ({"junk": True}, {"junk"}),
        ({"trashed": True, "starred": True, "archived": True, "junk": True}, {"trash"}),
    ],
)
def test_an_overlay_moves_a_line_for_its_user_only(house: House, marks: dict[str, bool], folders: set[str]) -> None:
    message = make_message(mailbox=house.annas)
    Overlay.objects.create(user=house.anna, message=message, **marks)
    Overlay.objects.create(user=house.bert, message=message, trashed=True)
    assert {name for name in listing.FOLDERS if listing.page(house.anna, folder=name).lines} == folders


def test_the_snippet_is_opened_and_one_sealed_for_another_message_is_not(house: House) -> None:
    one, other = make_message(plain("a"), mailbox=house.annas), make_message(plain("b"), mailbox=house.annas)
    parsing.sweep(now=timezone.now())
    assert {line.snippet for line in listing.page(house.anna).lines} == {"The figures."}
    one.refresh_from_db()
    Message.objects.filter(pk=other.pk).update(snippet=one.snippet)
    assert {line.snippet for line in listing.page(house.anna).lines} == {"The figures.", ""}


def test_mail_that_cannot_be_parsed_is_listed_opened_and_downloaded(
    house: House, as_user: Callable[[User], Client]
) -> None:
    raw = b"\xff\xfe\r\nnot mail at all \x80\r\n\r\n\xde\xad\xbe\xef\r\n"
    message = make_message(raw, mailbox=house.annas)
    parsing.sweep(now=timezone.now())
    client = as_user(house.anna)
    page, _ = ask(client)
    assert message.public_id in page
    assert client.get(f"/m/{message.public_id}/").status_code == 200
    assert client.get(f"/m/{message.public_id}/body").status_code == 200
    assert client.get(f"/m/{message.public_id}/raw").content == raw
    assert MessageText.objects.filter(message=message).exists()


@pytest.mark.parametrize("cursor", ["x", "zz-zz", "1-2-3", "f" * 40 + "-0SAS28BFXN5VZ", "5-Ü"])
def test_a_cursor_nobody_gave_out_is_404(house: House, as_user: Callable[[User], Client], cursor: str) -> None:
    assert as_user(house.anna).get("/", {"after": cursor}).status_code == 404


@given(
    at=st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001 - made aware below
    key=st.integers(0, 2**63 - 1),
)
def test_a_cursor_survives_its_way_through_the_url(at: datetime, key: int) -> None:
    moment = at.replace(tzinfo=UTC)
    assert listing._read_cursor(listing._cursor(moment, key)) == (moment, key)


def test_the_counts_beside_the_places_are_of_unread_lines(house: House) -> None:
    kinds: tuple[dict[str, Any], ...] = ({}, {"read_at": timezone.now()}, {"trashed": True}, {"starred": True})
    for number, marks in enumerate(kinds):
        message = make_message(plain(f"n{number}"), mailbox=house.annas)
        Overlay.objects.create(user=house.anna, message=message, **marks)
    make_message(plain("both"), mailboxes=(house.annas, house.sales))
    found = places.of(places.Counts(house.anna))
    assert found.unread == 3 == sum(line.unread for line in listing.page(house.anna).lines)
    assert [(place.label, place.unread) for place in found.shared] == [("Sales", 1)]
