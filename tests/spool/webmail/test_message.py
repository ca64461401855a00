"""One message: policies of every answer, bytes, attachments, events, and what is said when it went home."""

from collections.abc import Callable

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from audit.models import Event
from spool.enums import DeliveryState
from spool.models import Delivery, Message, Overlay
from spool.queue import content
from tests.factories.spool import make_message
from tests.spool.webmail.conftest import House
from tests.spool.webmail.letters import PNG, html, plain, with_file

BODY_CSP = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
APP_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; worker-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
FILE_CSP = "sandbox; default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
HOSTILE = (
    "<script>alert(1)</script><img src=https://t.test/p.png onerror=alert(1)><a href='javascript:alert(1)'>x</a>"
    "<p style='background:url(https://t.test/b)'>Hello</p><form action=https://t.test><input></form>"
)


def url(message: Message, rest: str = "") -> str:
    return f"/m/{message.public_id}/{rest}"


def test_the_exact_policy_of_every_answer(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(with_file("a.png", "image/png", PNG), mailbox=house.annas)
    client = as_user(house.anna)
    for path in ("/", "/starred/", "/live", "/nowhere", *(url(message, rest) for rest in ("", "story", "headers"))):
        assert client.get(path).headers["Content-Security-Policy"] == APP_CSP, path
    for rest, policy in (("body", BODY_CSP), ("raw", FILE_CSP), ("part/2", FILE_CSP)):
        answer = client.get(url(message, rest))
        assert answer.headers["Content-Security-Policy"] == policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers.get("X-Frame-Options", "DENY") == ("SAMEORIGIN" if rest == "body" else "DENY")


def test_the_body_keeps_nothing_that_acts_or_asks(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(html(HOSTILE), mailbox=house.annas)
    client = as_user(house.anna)
    body = client.get(url(message, "body")).content.decode()
    for trace in ("<script", "onerror", "javascript:", "t.test", "<form", "<input"):
        assert trace not in body
    assert "Hello" in body
    assert "1 remote picture not loaded" in client.get(url(message)).content.decode()


def test_each_step_of_mail_to_several_mailboxes_names_its_own(house: House, as_user: Callable[[User], Client]) -> None:
    one = make_message(mailbox=house.annas)
    both = make_message(mailboxes=(house.annas, house.sales))
    client = as_user(house.anna)
    page = client.get(url(one, "story")).content.decode()
    assert "Then it goes to your normal mailbox by itself" in page
    page = client.get(url(both, "story")).content.decode()
    assert "anna@example.test: then it goes to that mailbox by itself" in page
    assert "Sales, sales@example.test: then it goes to that mailbox by itself" in page


def test_a_search_begins_beside_an_open_message_too(house: House, as_user: Callable[[User], Client]) -> None:
    page = as_user(house.anna).get(url(make_message(mailbox=house.annas))).content.decode()
    assert 'role="search"' in page
    assert 'aria-current="true"' in page


@pytest.mark.parametrize("place", ["subject", "from", "name", "text"])
def test_markup_in_headers_names_and_text_stays_text(
    house: House, as_user: Callable[[User], Client], place: str
) -> None:
    payload = "<img src=x onerror=alert(1)>"
    raw = {
        "subject": plain(payload),
        "from": plain("s", sender=f'"{payload}" <erika@outside.test>'),
        "name": with_file(payload, "image/png", PNG),
        "text": plain("s", text=payload + "\n"),
    }[place]
    message = make_message(raw, mailbox=house.annas)
    client = as_user(house.anna)
    for path in ("/", url(message), url(message, "body"), url(message, "headers"), url(message, "story")):
        assert "<img src=x" not in client.get(path).content.decode()


def test_the_original_leaves_byte_for_byte(house: House, as_user: Callable[[User], Client]) -> None:
    raw = plain("Ünïcode / slash: ..").replace(b"figures", b"\xe4\x00\xff figures")
    answer = as_user(house.anna).get(url(make_message(raw, mailbox=house.annas), "raw"))
    assert answer.content == raw
    assert answer.headers["Content-Type"] == "message/rfc822"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename")


@pytest.mark.parametrize(
    ("name", "declared", "data", "sent"),
    [
        ("a.png", "image/png", PNG, "image/png"),
        ("a.png", "image/png", b"<html><script>1</script>", "application/octet-stream"),
        ("a.pdf", "application/pdf", b"%PDF-1.7 x", "application/octet-stream"),
        ("a.ics", "text/calendar", b"BEGIN:VCALENDAR", "application/octet-stream"),
        ("a.txt", "text/html", b"<b>", "application/octet-stream"),
    ],
)
def test_an_attachment_never_opens_in_the_page(
    house: House, as_user: Callable[[User], Client], name: str, declared: str, data: bytes, sent: str
) -> None:
    message = make_message(with_file(name, declared, data), mailbox=house.annas)
    answer = as_user(house.anna).post(url(message, "part/2"))
    assert answer.content == data
    assert answer.headers["Content-Type"] == sent
    assert answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("name", ["Rechnung.pdf.exe", "a.js", "a.html", "a.svg", "a.docm", "a.iso", "a.lnk"])
def test_a_dangerous_file_needs_a_second_step(house: House, as_user: Callable[[User], Client], name: str) -> None:
    message = make_message(with_file(name, "application/pdf", b"MZ data"), mailbox=house.annas)
    client = as_user(house.anna)
    page = client.get(url(message, "part/2"))
    assert page.headers["Content-Type"].startswith("text/html")
    assert "Content-Disposition" not in page.headers
    assert not Event.objects.filter(tag="mail.attachment.downloaded").exists()
    assert client.post(url(message, "part/2")).content == b"MZ data"
    assert Event.objects.get(tag="mail.attachment.downloaded").detail["mailbox"] == "anna@example.test"


def test_a_program_named_like_a_document_is_called_by_its_name(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(with_file("Rechnung.pdf.exe", "application/pdf", b"MZ" * 600), mailbox=house.annas)
    assert "Program named like a PDF, 1 KB" in as_user(house.anna).get(url(message)).content.decode()


def test_a_part_that_is_not_there_is_404(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(with_file("a.png", "image/png", PNG), mailbox=house.annas)
    client = as_user(house.anna)
    assert {client.get(url(message, f"part/{n}")).status_code for n in (0, 1, 3, 999, 10**30)} == {404}


def test_opening_is_one_event_and_marks_as_read(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(mailbox=house.annas)
    client = as_user(house.anna)
    page = client.get(url(message))
    frame = page.context["opening"]
    assert client.get(url(message, "body"), {"opening": frame}).status_code == 200
    event = Event.objects.get(tag="mail.message.read")
    assert (event.actor_id, event.target_id) == (house.anna.pk, message.public_id)
    assert event.detail == {"mailbox": "anna@example.test"}
    assert Overlay.objects.get(user=house.anna, message=message).read_at is not None


@pytest.mark.parametrize("opening", ["", "x", "x:y:z"])
def test_a_body_without_its_page_is_an_event_of_its_own(
    house: House, as_user: Callable[[User], Client], opening: str
) -> None:
    message = make_message(mailbox=house.annas)
    assert as_user(house.anna).get(url(message, "body"), {"opening": opening}).status_code == 200
    assert Event.objects.filter(tag="mail.message.read").count() == 1


def test_an_opening_counts_for_its_own_message_and_reader_only(house: House, as_user: Callable[[User], Client]) -> None:
    one, other = make_message(mailbox=house.annas), make_message(plain("other"), mailbox=house.annas)
    client = as_user(house.anna)
    opening = client.get(url(one)).context["opening"]
    client.get(url(other, "body"), {"opening": opening})
    assert Event.objects.filter(tag="mail.message.read", target_id=other.public_id).count() == 1


def test_no_event_no_body(house: House, as_user: Callable[[User], Client]) -> None:
    """The record is part of reading: when it cannot be written, nothing is shown (rule 10)."""
    message = make_message(plain("s", text="secret words\n"), mailbox=house.annas)
    client = as_user(house.anna)
    client.raise_request_exception = False

    def refuse(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        if sql.startswith("INSERT") and "audit_event" in sql:
            raise OperationalError("disk full")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        for rest in ("", "body", "raw", "headers"):
            answer = client.get(url(message, rest))
            assert answer.status_code == 503
            assert b"secret words" not in answer.content
    assert not Overlay.objects.filter(read_at__isnull=False).exists()


def test_a_message_that_went_home_can_still_be_read(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(mailbox=house.annas)
    client = as_user(house.anna)
    assert client.get(url(message, "band")).status_code == 204
    now = timezone.now()
    Delivery.objects.filter(message=message).update(
        state=DeliveryState.DELIVERED, finished_at=now, last_reply="250 2.0.0 Ok: queued as 4CzT1x"
    )
    assert f"Delivered {timezone.localtime(now):%H:%M}" in client.get(url(message, "band")).content.decode()
    page = client.get(url(message)).content.decode()
    assert "It is now in your normal mailbox" in page
    assert "250 2.0.0 Ok: queued as 4CzT1x" in page
    assert client.get(url(message, "body")).status_code == 200


def test_an_erased_message_says_so(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(mailbox=house.annas)
    now = timezone.now()
    Delivery.objects.filter(message=message).update(state=DeliveryState.DELIVERED, finished_at=now)
    content.erase([message], now=now)
    client = as_user(house.anna)
    assert "The safety copy was erased" in client.get(url(message)).content.decode()
    assert {client.get(url(message, rest)).status_code for rest in ("body", "raw", "headers", "part/1")} == {404}


@pytest.mark.parametrize(("mark", "field"), [("starred", "starred"), ("archived", "archived"), ("trashed", "trashed")])
def test_a_mark_is_an_event_and_touches_no_delivery(
    house: House, as_user: Callable[[User], Client], mark: str, field: str
) -> None:
    message = make_message(mailbox=house.annas)
    before = list(Delivery.objects.filter(message=message).values())
    client = as_user(house.anna)
    for value, wanted in (("1", True), ("1", True), ("0", False)):
        answer = client.post(url(message, "mark"), {"mark": mark, "value": value, "next": "//evil.test"})
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        assert getattr(Overlay.objects.get(user=house.anna, message=message), field) is wanted
    assert Event.objects.filter(tag="mail.message.marked").count() == 2
    assert list(Delivery.objects.filter(message=message).values()) == before


def test_an_unknown_mark_is_404_and_a_get_marks_nothing(house: House, as_user: Callable[[User], Client]) -> None:
    message = make_message(mailbox=house.annas)
    client = as_user(house.anna)
    assert client.post(url(message, "mark"), {"mark": "is_superuser"}).status_code == 404
    assert client.get(url(message, "mark"), {"mark": "starred"}).status_code == 405


@pytest.mark.parametrize("target", ["https://evil.test/", "//evil.test", "javascript:alert(1)", "\\\\evil.test", ""])
def test_the_colour_switch_leads_nowhere_else(house: House, as_user: Callable[[User], Client], target: str) -> None:
    answer = as_user(house.anna).post("/theme", {"theme": "dark", "next": target})
    assert answer.headers["Location"] == "/"
    assert answer.cookies["einbox_theme"].value == "dark"
