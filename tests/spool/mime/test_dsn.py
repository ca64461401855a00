"""Delivery status notifications: they parse back, also with another reader, whatever the server said."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.mime.compose import ComposeError, MailAddress
from spool.mime.dsn import Action, Notice, RecipientStatus, notification
from spool.mime.parse import parse, part_content

pytestmark = pytest.mark.pure

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOTICE = Notice(
    "dsn-1@einbox.test",
    AT,
    "einbox.test",
    MailAddress("Ann", "ann@example.org"),
    "Not delivered: Grüße",
    "Your message could not be delivered.",
    (RecipientStatus("bob@example.net", Action.FAILED, "5.1.1", "550 5.1.1 No such user", "mx.example.net"),),
    b"From: Ann <ann@example.org>\r\nMessage-ID: <1@example.org>\r\nSubject: Hi\r\n\r\nSecret body\r\n",
    AT,
)


def test_a_notification_parses_back() -> None:
    raw = notification(NOTICE)
    other: Any = email.message_from_bytes(raw, policy=email.policy.default)
    assert other.get_content_type() == "multipart/report"
    assert other.get_param("report-type") == "delivery-status"
    parts: Any = other.iter_parts()
    human, status, original = parts
    assert "bob@example.net" in human.get_content()
    per_message, per_recipient = status.get_payload()
    assert per_message["Reporting-MTA"] == "dns; einbox.test"
    assert per_recipient["Status"] == "5.1.1"
    assert per_recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user"
    assert b"Secret body" not in raw
    assert "Subject: Hi" in original.get_content()
    assert other.defects == []


def test_our_own_reader_shows_it() -> None:
    raw = notification(NOTICE)
    found = parse(raw)
    assert found.subject == NOTICE.subject
    assert found.text.startswith(NOTICE.sentence)
    assert found.references == ("1@example.org",)
    assert [part.declared_type for part in found.parts] == ["message/delivery-status", "text/rfc822-headers"]
    assert b"Final-Recipient: rfc822; bob@example.net" in part_content(raw, found.parts[0].index)


@given(st.text(max_size=3_000), st.text(max_size=400), st.binary(max_size=2_000))
def test_no_answer_of_a_server_breaks_out(diagnostic: str, host: str, original: bytes) -> None:
    failed = replace(NOTICE.recipients[0], diagnostic=diagnostic, remote_host=host, status=host)
    try:
        raw = notification(replace(NOTICE, recipients=(failed,), original=original))
    except ComposeError:
        assert any(0xD800 <= ord(character) <= 0xDFFF for character in diagnostic)
        return
    other = email.message_from_bytes(raw, policy=email.policy.compat32)
    status: Any = cast("Any", other.get_payload())[1].get_payload()
    names = [name.lower() for name, _ in status[1].items()]
    assert names[:3] == ["final-recipient", "action", "status"]
    assert len(status) == 2


def test_a_notification_without_a_recipient_is_refused() -> None:
    with pytest.raises(ComposeError):
        notification(replace(NOTICE, recipients=()))
