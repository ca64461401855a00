"""Searching: everybody finds only what is his, any question gets an answer, and no word of it is recorded."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from audit.models import Event
from audit.tags import Tag
from spool.enums import DeliveryState
from spool.models import Delivery, MailboxMember
from spool.queue import content, parsing
from tests.factories.spool import make_message
from tests.spool.webmail.conftest import House
from tests.spool.webmail.letters import plain

AsUser = Callable[[User], Client]


@pytest.fixture(scope="module", autouse=True)
def _stop_shared_pool() -> Iterator[None]:
    yield
    parsing.stop()


def read() -> None:
    parsing.sweep(now=timezone.now())


def look(client: Client, q: str, **more: str) -> str:
    answer = client.get("/search", {"q": q, **more})
    assert answer.status_code == 200, q
    return answer.content.decode()


def test_everybody_finds_only_what_arrived_for_him(house: House, as_user: AsUser) -> None:
    own = make_message(plain("Zanzibar own"), mailbox=house.annas).public_id
    shared = make_message(plain("Zanzibar shared"), mailbox=house.sales).public_id
    berts = make_message(plain("Zanzibar Bert"), mailbox=house.berts).public_id
    hidden = make_message(plain("Zanzibar hidden"), mailbox=house.annas, visible=False).public_id
    withdrawn = make_message(plain("Zanzibar withdrawn"), mailbox=house.annas)
    Delivery.objects.filter(message=withdrawn).update(state=DeliveryState.REMOVED, finished_at=timezone.now())
    read()
    ids = {own, shared, berts, hidden, withdrawn.public_id}

    def found(person: User) -> set[str]:
        page = look(as_user(person), "zanzibar")
        return {one for one in ids if one in page}

    assert found(house.anna) == {own, shared}
    assert found(house.bert) == {berts}
    assert found(house.admin) == found(house.security) == set()
    MailboxMember.objects.filter(user=house.anna).delete()
    assert found(house.anna) == {own}


def test_without_log_in_there_is_only_the_way_to_it(house: House, client: Client) -> None:
    answer = client.get("/search", {"q": "figures"})
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/account/login/")


def test_words_phrases_and_places(house: House, as_user: AsUser) -> None:
    client = as_user(house.anna)
    made = make_message(plain("Plan B", text="We meet at noon.\n"), mailbox=house.annas).public_id
    read()
    for q in ("meet plan", '"meet at noon"', "from:erika", "from:erika@outside.test plan", "subject:plan", "PLÄN B"):
        assert made in look(client, q), q
    for q in ('"noon at meet"', "subject:noon", "meet elsewhere"):
        page = look(client, q)
        assert made not in page, q
        assert "No message has all of these words" in page


def test_pages_of_fifty_follow_each_other(house: House, as_user: AsUser) -> None:
    client, moment = as_user(house.anna), timezone.now()
    for number in range(53):
        at = moment - timedelta(seconds=number)
        make_message(plain(f"Lot {number}"), mailbox=house.annas, now=at)
    read()
    first = client.get("/search", {"q": "lot figures"})
    assert len(first.context["lines"]) == 50
    assert [line.subject for line in first.context["lines"][:2]] == ["Lot 0", "Lot 1"]
    assert "?q=lot%20figures&amp;after=" in first.content.decode()
    second = client.get("/search", {"q": "lot figures", "after": first.context["more"]})
    assert [line.subject for line in second.context["lines"]] == ["Lot 50", "Lot 51", "Lot 52"]
    assert second.context["more"] == ""
    assert client.get("/search", {"q": "lot", "after": "garbage"}).status_code == 404


@pytest.mark.parametrize(
    "q",
    [
        "", " ", '"' * 300, '"' * 10_000, "\x00", "a\x00b", "\u202egnihtyna", "x" * 100_000, "?!*&|():",
        "the and or not",
        "NEAR(a b)", 'subject : "a" OR {b}', "a* ^b - c", "rowid:1", "a & b | !c <-> d:*", "'; DROP TABLE x --",
        "%s %(a)s",
        "\\", "from:", 'from:"', "ſ ß İ", "😀", "\ud800",
    ],
)  # fmt: skip
def test_any_question_gets_an_answer(house: House, as_user: AsUser, q: str) -> None:
    client = as_user(house.anna)
    make_message(plain(), mailbox=house.annas)
    read()
    page = look(client, q.encode("utf-8", "replace").decode())
    assert "list__none" in page or "data-line" in page


def test_the_log_holds_the_count_and_not_the_words(house: House, as_user: AsUser) -> None:
    make_message(plain("Zanzibar"), mailbox=house.annas)
    read()
    look(as_user(house.anna), "zanzibar")
    (event,) = Event.objects.filter(tag=Tag.MAIL_SEARCHED.value)
    assert event.detail == {"count": 1}
    assert "zanzibar" not in repr(event.__dict__).lower()


def test_mail_that_is_not_read_yet_is_mentioned_and_erased_mail_is_gone(house: House, as_user: AsUser) -> None:
    client = as_user(house.anna)
    message = make_message(plain("Zanzibar"), mailbox=house.annas)
    assert "still being read" in look(client, "zanzibar")
    read()
    assert "still being read" not in look(client, "zanzibar")
    assert message.public_id in look(client, "zanzibar")
    content.erase([message], now=timezone.now())
    assert message.public_id not in look(client, "zanzibar")
