"""Sending: forced sender, hidden Bcc, threads, and one message however often the button is pressed."""

import threading
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.limits import Limit
from accounts.models import User
from audit.models import Event
from spool.enums import DeliveryState, Direction
from spool.models import Delivery, Draft, Mailbox, Message
from spool.queue import content, drafts, queries
from spool.queue.drafts import DraftMissingError, Fields
from spool.queue.submit import Sent, SubmitError, WritingClosedError, submit
from tests.factories.accounts import make_user
from tests.factories.spool import make_domain, make_mailbox, make_message, make_route

NOW = timezone.now()


@pytest.fixture
def user(db: None) -> User:
    return make_user(email="tilda@example.test", name="Tilda Kranich")


@pytest.fixture
def mailbox(user: User) -> Mailbox:
    route = make_route(name="example.test", state="down")
    return make_mailbox("tilda@example.test", domain=make_domain("example.test", route=route), user=user)


def write(user: User, mailbox: Mailbox, *, parent: Message | None = None, **typed: Any) -> Draft:
    fields = Fields(**{"to": "ottilie@outside.example", "subject": "Hello", "body": "Text", **typed})
    return drafts.begin(user, mailbox, fields, now=NOW, parent=parent).draft


def raw_of(sent: Sent) -> bytes:
    return content.read(Message.objects.get(pk=sent.message.pk))


def parsed(sent: Sent) -> EmailMessage:
    found = message_from_bytes(raw_of(sent), policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_colleagues_read_at_once_and_outsiders_wait(user: User, mailbox: Mailbox) -> None:
    hannes = make_mailbox("hannes@example.test")
    draft = write(user, mailbox, cc="Hannes <hannes@example.test>")
    sent = submit(user, draft.public_id, now=NOW)
    inside, outside = (Delivery.objects.get(direction=way) for way in (Direction.INBOUND, Direction.OUTBOUND))
    assert (inside.mailbox, inside.visible_at, inside.state) == (hannes, NOW, DeliveryState.QUEUED)
    assert (outside.mailbox, outside.forward_path, outside.route) == (
        None,
        "ottilie@outside.example",
        mailbox.domain.route,
    )
    assert outside.visible_at is None
    assert not Draft.objects.exists()
    event = Event.objects.get(tag="mail.message.submitted")
    assert event.detail == {
        "mailbox": "tilda@example.test",
        "recipients": 2,
        "inside": 1,
        "outside": 1,
        "size": sent.message.size,
    }


def test_the_sender_is_forced_in_envelope_and_header(user: User, mailbox: Mailbox) -> None:
    sent = submit(user, write(user, mailbox).public_id, now=NOW)
    assert sent.message.reverse_path == "tilda@example.test"
    assert parsed(sent)["From"] == "Tilda Kranich <tilda@example.test>"
    assert sent.message.message_id.endswith("@example.test")


def test_a_membership_that_ended_sends_nothing_more(user: User, mailbox: Mailbox) -> None:
    shared = make_mailbox("sales@example.test", shared=True, name="Sales")
    membership = shared.members.create(user=user)
    draft = write(user, shared)
    membership.delete()
    with pytest.raises(SubmitError):
        submit(user, draft.public_id, now=NOW)
    shared.members.create(user=user)
    sent = submit(user, draft.public_id, now=NOW)
    assert sent.message.reverse_path == "sales@example.test"
    assert parsed(sent)["From"] == "Sales <sales@example.test>"


def test_bcc_stands_in_no_stored_octet(user: User, mailbox: Mailbox) -> None:
    sent = submit(user, write(user, mailbox, bcc="hidden@secret.example").public_id, now=NOW)
    assert b"hidden" not in raw_of(sent)
    assert b"bcc" not in raw_of(sent).lower()
    assert Delivery.objects.filter(forward_path="hidden@secret.example", direction=Direction.OUTBOUND).exists()


def test_a_reply_continues_the_thread(user: User, mailbox: Mailbox) -> None:
    raw = (
        b"From: o@outside.example\r\nMessage-ID: <third@outside.example>\r\n"
        b"References: <first@x.example>\r\n <second@x.example>\r\n\r\nhello\r\n"
    )
    parent = make_message(raw, mailbox=mailbox)
    sent = submit(user, write(user, mailbox, parent=parent, kind="reply").public_id, now=NOW)
    assert parsed(sent)["In-Reply-To"] == "<third@outside.example>"
    references = "<first@x.example> <second@x.example> <third@outside.example>"
    assert " ".join(parsed(sent)["References"].split()) == references
    assert sent.message.in_reply_to == parent


def test_a_reply_to_a_message_just_cleared_or_erased_still_goes(user: User, mailbox: Mailbox) -> None:
    parent = make_message(mailbox=mailbox)
    draft = write(user, mailbox, parent=parent, kind="reply")
    Delivery.objects.filter(message=parent).update(state=DeliveryState.DELIVERED, finished_at=NOW)
    content.erase([parent], now=NOW)
    sent = submit(user, draft.public_id, now=NOW)
    assert parsed(sent)["In-Reply-To"] == f"<{parent.message_id}>"


def test_a_forward_is_no_reply(user: User, mailbox: Mailbox) -> None:
    parent = make_message(mailbox=mailbox)
    sent = submit(user, write(user, mailbox, parent=parent, kind="forward").public_id, now=NOW)
    assert parsed(sent)["In-Reply-To"] is None
    assert sent.message.in_reply_to is None


def test_the_quote_and_files_go_along(user: User, mailbox: Mailbox) -> None:
    draft = write(user, mailbox, quote="> earlier words")
    drafts.attach(user, draft, name="größe.pdf", content_type="application/pdf", data=b"%PDF-1.7 content")
    found = parsed(submit(user, draft.public_id, now=NOW))
    body = found.get_body(("plain",))
    assert body is not None
    assert body.get_content().startswith("Text\r\n\r\n> earlier words")
    [file] = found.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("größe.pdf", b"%PDF-1.7 content")


INJECTION = "x\r\nBcc: thief@evil.example"


@pytest.mark.parametrize("field", ["to", "cc", "bcc", "subject"])
@pytest.mark.parametrize("text", [INJECTION, "x\nX-Evil: 1", "x\rX-Evil: 1", "x\x0bX-Evil: 1", "x\u2028X-Evil: 1"])
def test_no_field_injects_a_header(user: User, mailbox: Mailbox, field: str, text: str) -> None:
    value = text if field == "subject" else f"Eve {text} <eve@outside.example>"
    draft = write(user, mailbox, parent=None, **{field: value})
    with pytest.raises(SubmitError):
        submit(user, draft.public_id, now=NOW)
    assert not Message.objects.exists()
    assert Draft.objects.exists()


def test_writing_ends_with_the_outage(user: User, mailbox: Mailbox) -> None:
    draft = write(user, mailbox)
    route = mailbox.domain.route
    assert queries.writing_open(route)
    type(route).objects.update(state="up")
    route.refresh_from_db()
    assert not queries.writing_open(route)
    with pytest.raises(WritingClosedError):
        submit(user, draft.public_id, now=NOW)
    assert Draft.objects.exists()


def test_a_changed_draft_is_not_sent_unread(user: User, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = write(user, mailbox)

    def change(name: str) -> None:
        Draft.objects.update(updated_at=NOW + timedelta(seconds=9))

    monkeypatch.setattr("spool.queue.submit.failpoint", change)
    with pytest.raises(SubmitError, match="another tab"):
        submit(user, draft.public_id, now=NOW)
    assert not Message.objects.exists()


def test_others_drafts_cannot_be_sent(user: User, mailbox: Mailbox) -> None:
    draft = write(user, mailbox)
    sent = submit(user, write(user, mailbox).public_id, now=NOW)
    other = make_user()
    for public_id in (draft.public_id, sent.message.public_id, "x"):
        with pytest.raises(DraftMissingError):
            submit(other, public_id, now=NOW)


def test_sending_again_is_no_second_message(user: User, mailbox: Mailbox) -> None:
    draft = write(user, mailbox)
    assert not submit(user, draft.public_id, now=NOW).again
    assert submit(user, draft.public_id, now=NOW).again
    assert Message.objects.count() == 1


@pytest.mark.untraced
@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.django_db(transaction=True)
def test_sixteen_at_once_are_one_message(size: int) -> None:
    user = make_user(email="tilda@example.test")
    route = make_route(name="example.test", state="down")
    mailbox = make_mailbox("tilda@example.test", domain=make_domain("example.test", route=route), user=user)
    draft = write(user, mailbox, body="x" * size)
    start, results = threading.Barrier(16), []

    def press() -> None:
        try:
            start.wait()
            results.append(submit(user, draft.public_id, now=NOW))
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 16
    assert sum(not one.again for one in results) == 1
    assert {one.message.pk for one in results} == {draft.pk}
    assert Message.objects.count() == Delivery.objects.count() == 1
    assert Event.objects.filter(tag="mail.message.submitted").count() == 1
    assert content.read(Message.objects.get())  # the losers discarded their own copies only


def test_a_flood_is_slowed_down(user: User, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spool.queue.submit.SEND", Limit("send", most=2, window=3600, free=2))
    for _ in range(2):
        submit(user, write(user, mailbox).public_id, now=NOW)
    with pytest.raises(SubmitError, match="an hour"):
        submit(user, write(user, mailbox).public_id, now=NOW)
    assert Message.objects.count() == 2
