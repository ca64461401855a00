"""Who may read what: every route of reading, for everybody, on everybody's things (row C42)."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from spool.enums import DeliveryState
from spool.models import Delivery, MailboxMember, Message
from spool.webmail import access
from spool.webmail.urls_reading import urlpatterns
from tests.factories.spool import make_message
from tests.spool.webmail.conftest import House
from tests.spool.webmail.letters import PNG, plain, with_file

MESSAGE_ROUTES = ("message", "body", "part", "raw", "headers", "story", "band")


def urls_of(message: Message) -> list[str]:
    return [
        reverse(f"spool:{name}", args=[message.public_id, 2] if name == "part" else [message.public_id])
        for name in MESSAGE_ROUTES
    ]


def test_the_matrix_covers_every_route_that_names_a_message() -> None:
    named = {route.name for route in urlpatterns if "public_id" in str(route.pattern)}
    assert named == {*MESSAGE_ROUTES, "mark"}


@pytest.mark.parametrize("who", ["bert", "admin", "security"])
def test_others_get_404_for_what_is_not_theirs(house: House, as_user: Callable[[User], Client], who: str) -> None:
    raw = with_file("figures.png", "image/png", PNG)
    own, shared = make_message(raw, mailbox=house.annas), make_message(plain("shared"), mailbox=house.sales)
    client = as_user(getattr(house, who))
    answers = {url: client.get(url).status_code for message in (own, shared) for url in urls_of(message)}
    answers |= {url: client.post(url, {"mark": "read"}).status_code for url in urls_of(own) if url.endswith("part/2")}
    answers["mark"] = client.post(reverse("spool:mark", args=[own.public_id]), {"mark": "starred"}).status_code
    answers["box"] = client.get(reverse("spool:box", args=[house.sales.pk])).status_code
    answers["live"] = client.get(reverse("spool:live"), {"box": house.sales.pk}).status_code
    assert set(answers.values()) == {404}


def test_the_owner_and_the_member_read(house: House, as_user: Callable[[User], Client]) -> None:
    raw = with_file("figures.png", "image/png", PNG)
    client = as_user(house.anna)
    for box in (house.annas, house.sales):
        message = make_message(raw, mailbox=box)
        answers = {url: client.get(url).status_code for url in urls_of(message)}
        assert set(answers.values()) == {200, 204}, answers  # 204: the band says nothing yet


def test_a_member_who_leaves_reads_no_more(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(mailbox=house.sales)
    MailboxMember.objects.filter(user=house.anna).delete()
    assert as_user(house.anna).get(reverse("spool:message", args=[message.public_id])).status_code == 404


@pytest.mark.parametrize("change", [{"visible_at": None}, {"state": DeliveryState.REMOVED}])
def test_hidden_and_withdrawn_mail_is_not_there(
    house: House, as_user: Callable[[User], Client], change: dict[str, object]
) -> None:
    message = make_message(mailbox=house.annas)
    if "state" in change:
        change["finished_at"] = message.accepted_at
    Delivery.objects.filter(message=message).update(**change)
    client = as_user(house.anna)
    assert {client.get(url).status_code for url in urls_of(message)} == {404}
    assert message.public_id not in client.get("/").content.decode()


def test_an_author_reads_what_he_wrote_although_it_went_to_others(
    house: House, as_user: Callable[[User], Client]
) -> None:
    written = make_message(mailbox=house.berts, author_id=house.anna.pk, author_mailbox_id=house.annas.pk)
    assert as_user(house.anna).get(reverse("spool:message", args=[written.public_id])).status_code == 200
    assert list(access.deliveries(house.anna)) == []


@pytest.mark.parametrize("garbage", ["x", "0" * 13, "Z" * 13, "%00" * 13, "0SAS28BFXN5VÜ", "-1", "' OR 1=1 --'"])
def test_garbage_is_404(house: House, as_user: Callable[[User], Client], garbage: str) -> None:
    client = as_user(house.anna)
    for name in ("", "body", "raw", "headers", "story", "band", "part/1"):
        assert client.get(f"/m/{garbage}/{name}").status_code == 404
    for number in (0, 10**6, 2**63, 10**30):
        assert client.get(f"/box/{number}/").status_code == 404


def test_without_log_in_there_is_only_the_way_to_it(house: House, client: Client) -> None:
    message = make_message(mailbox=house.annas)
    for url in [*urls_of(message), "/", "/starred/", "/live", reverse("spool:box", args=[house.sales.pk])]:
        answer = client.get(url)
        assert answer.status_code == 302, url
        assert answer.headers["Location"].startswith("/account/login/")
