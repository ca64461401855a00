"""Composed mail: what was meant comes back, and no field can add a header (C9, M7)."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spool.mime.compose import Attachment, ComposeError, Composition, MailAddress, compose
from spool.mime.headers import block_end, fields
from spool.mime.parse import parse, part_content
from spool.mime.reply import forward_subject, quote, references, reply_recipients, reply_subject

pytestmark = pytest.mark.pure

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ANN = MailAddress("Ann", "ann@example.org")
BOB = MailAddress('Bøb, the "Builder"', "bob@example.net")
PLAIN = Composition("1@einbox.test", AT, ANN, to=(BOB,), subject="Hello", text="Hi\n")
ALLOWED = {"date", "from", "message-id", "to", "cc", "reply-to", "subject", "in-reply-to", "references",
           "mime-version", "content-type", "content-transfer-encoding"}  # fmt: skip


def names(raw: bytes) -> list[str]:
    return [name for name, _ in fields(raw[: block_end(raw)[0]])]


def test_round_trip() -> None:
    mail = replace(
        PLAIN,
        subject="Grüße " + "für alle " * 40,
        text="Zeile äöü\n" + "x" * 3_000 + "\n.\nFrom here\n",
        cc=(MailAddress("", '"odd local"@example.org'),),
        in_reply_to="0@example.org",
        references=("a@x", "0@example.org"),
        attachments=(Attachment(f"Straße und {'sehr ' * 9}langer Name.pdf", "application/pdf", b"%PDF-1\n"),),
    )
    raw = compose(mail)
    found = parse(raw)
    assert (found.subject, found.from_, found.to, found.cc) == (mail.subject.strip(), (ANN,), mail.to, mail.cc)
    assert (found.message_id, found.in_reply_to, found.references) == (
        mail.message_id,
        mail.in_reply_to,
        mail.references,
    )
    assert found.text == mail.text.rstrip("\n")
    assert found.date == AT
    assert found.notes == ()
    (part,) = found.parts
    assert (part.name, part.true_type) == (mail.attachments[0].name, "application/pdf")
    assert part_content(raw, part.index) == b"%PDF-1\n"


def test_other_readers_agree() -> None:
    raw = compose(
        replace(PLAIN, subject="Grüße", html="<p>Hi</p>", attachments=(Attachment("ä.txt", "text/plain", b"x"),))
    )
    other = email.message_from_bytes(raw, policy=email.policy.default)
    assert other["Subject"] == "Grüße"
    assert other["To"].addresses[0].display_name == BOB.name
    assert [part.get_content_type() for part in other.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/plain",
    ]  # fmt: skip
    assert other.defects == []


@given(st.text(max_size=600), st.text(max_size=3_000), st.text(max_size=200))
def test_any_text_comes_back_or_is_refused(subject: str, text: str, name: str) -> None:
    mail = replace(PLAIN, subject=subject, text=text, to=(MailAddress(name, "bob@example.net"),))
    try:
        raw = compose(mail)
    except ComposeError:
        return
    assert b"\0" not in raw
    assert raw.replace(b"\r\n", b"").find(b"\n") == raw.replace(b"\r\n", b"").find(b"\r") == -1
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert set(names(raw)) <= ALLOWED
    assert len(names(raw)) == len(set(names(raw)))


INJECTIONS = st.tuples(
    st.text(max_size=30),
    st.sampled_from(["\r\nBcc: x@evil.test", "\nBcc: x@evil.test", "\rBcc: x@evil.test", "\r\n\r\nbody", "\n .", "\0",
                     "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]),
    st.text(max_size=30),
).map("".join)  # fmt: skip
NINE = [
    "from_name",
    "from_address",
    "to_name",
    "to_address",
    "subject",
    "message_id",
    "references",
    "file_name",
    "file_type",
]


def with_field(field: str, value: str) -> Composition:
    return {
        "from_name": lambda: replace(PLAIN, from_=MailAddress(value, "a@x.test")),
        "from_address": lambda: replace(PLAIN, from_=MailAddress("", value)),
        "to_name": lambda: replace(PLAIN, to=(MailAddress(value, "a@x.test"),)),
        "to_address": lambda: replace(PLAIN, to=(MailAddress("", value),)),
        "subject": lambda: replace(PLAIN, subject=value),
        "message_id": lambda: replace(PLAIN, message_id=value),
        "references": lambda: replace(PLAIN, references=(value,)),
        "file_name": lambda: replace(PLAIN, attachments=(Attachment(value, "text/plain", b""),)),
        "file_type": lambda: replace(PLAIN, attachments=(Attachment("a", value, b""),)),
    }[field]()


@pytest.mark.parametrize("field", NINE)
def test_control_characters_are_refused_in_every_field(field: str) -> None:
    @settings(max_examples=500, deadline=None)
    @given(INJECTIONS)
    def every(value: str) -> None:
        with pytest.raises(ComposeError):
            compose(with_field(field, value))

    every()


@pytest.mark.parametrize(
    "value",
    [
        "=?UTF-8?Q?nl=0ABcc=3A_x=40evil.test?=",
        "=?utf-8?b?DQpCY2M6IHhAZXZpbC50ZXN0?=",
        "a =?utf-8?q?=0D=0A=0D=0Abody?= b",
    ],
)
@pytest.mark.parametrize("field", ["subject", "to_name", "from_name"])
def test_encoded_line_breaks_stay_text(value: str, field: str) -> None:
    """M7: an encoded word that decodes to a header line, read from mail and answered."""
    raw = compose(with_field(field, value))
    assert set(names(raw)) <= ALLOWED
    other = email.message_from_bytes(raw, policy=email.policy.compat32)
    assert other["Bcc"] is None
    decoded = parse(b"Subject: " + value.encode() + b"\r\n\r\n").subject
    assert "\n" not in decoded
    again = compose(replace(PLAIN, subject=reply_subject(decoded)))
    assert names(again) == names(compose(PLAIN))


@pytest.mark.parametrize(
    ("given_subject", "reply", "forward"),
    [
        ("Hello", "Re: Hello", "Fwd: Hello"),
        ("Re: RE: Aw: Hello", "Re: Hello", "Fwd: Re: RE: Aw: Hello"),
        ("re[2]: Hello", "Re: Hello", "Fwd: re[2]: Hello"),
        ("FW: Hello", "Re: FW: Hello", "Fwd: FW: Hello"),
        ("", "Re:", "Fwd:"),
        ("Recall", "Re: Recall", "Fwd: Recall"),
    ],
)
def test_prefixes(given_subject: str, reply: str, forward: str) -> None:
    assert reply_subject(given_subject) == reply
    assert forward_subject(given_subject) == (forward if not given_subject.startswith("FW") else "Fwd: Hello")


def test_quote_and_references() -> None:
    assert quote("a\n\n> b", intro="Ann wrote:") == "Ann wrote:\n> a\n>\n>> b"
    raw = b"Message-ID: <3@x>\r\nReferences: <1@x> <2@x>\r\n\r\n"
    assert references(parse(raw)) == ("1@x", "2@x", "3@x")
    many = tuple(f"{number}@x" for number in range(100))
    kept = parse(compose(replace(PLAIN, references=many))).references
    assert (len(kept), kept[0], kept[-1]) == (30, "0@x", "99@x")


def test_reply_recipients() -> None:
    mail = parse(b"From: a@x.test\r\nTo: Me@my.test, b@x.test\r\nCc: c@x.test, A@x.test\r\n\r\n")
    to, cc = reply_recipients(mail, own=["me@my.test"], everyone=True)
    assert [one.address for one in to] == ["a@x.test", "b@x.test"]
    assert [one.address for one in cc] == ["c@x.test"]
    to, cc = reply_recipients(mail, own=["me@my.test"], everyone=False)
    assert ([one.address for one in to], cc) == (["a@x.test"], ())
