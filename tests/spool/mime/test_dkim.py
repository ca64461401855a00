"""DKIM: what is signed passes a verifier that passes the RFC's own example, and fails once a word of it changes."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from spool.mime import dkim
from spool.mime.compose import Attachment, Composition, MailAddress, compose
from spool.mime.dkim import Algorithm, Key
from tests.doubles.dkim import verify

pytestmark = pytest.mark.pure
AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
KEYS = [Key("example.test", f"s-{one.kind}", dkim.new_private(one)) for one in Algorithm]
RECORDS = {
    dkim.record_name(key.selector, key.domain): dkim.record_value(key.algorithm, dkim.public_part(key.private))
    for key in KEYS
}

# RFC 8463 appendix A.
RFC_RECORDS = {
    "brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.football.example.com": (
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi"
        "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+"
        "2kryOTIKT+l/K4w3QIDAQAB"
    ),
}
RFC_MAIL = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")


def mail(**fields: Any) -> bytes:
    usual = Composition(
        message_id="1@example.test",
        date=AT,
        from_=MailAddress("Anna Ü", "anna@example.test"),
        to=(MailAddress("Erika", "erika@outside.test"),),
        subject="Figures for the third quarter",
        text="Dear Erika,  \n\nhere they  are.\n\n\n",
    )
    return compose(replace(usual, **fields))


def signed(raw: bytes) -> bytes:
    return b"".join(dkim.sign(raw, key, at=AT) for key in KEYS) + raw


def outcome(raw: bytes) -> set[str]:
    found = verify(raw, RECORDS.get)
    assert set(found) == {key.selector for key in KEYS}
    return set(found.values())


def test_the_verifier_passes_the_example_of_the_rfc_and_sees_a_change() -> None:
    assert set(verify(RFC_MAIL, RFC_RECORDS.get).values()) == {"pass"}
    assert set(verify(RFC_MAIL.replace(b"hungry", b"thirsty"), RFC_RECORDS.get).values()) == {"body altered"}
    assert set(verify(RFC_MAIL.replace(b"Suzie", b"Susan"), RFC_RECORDS.get).values()) == {"header altered"}


@pytest.mark.parametrize(
    "raw",
    [
        mail(),
        mail(text=""),
        mail(text="äöü " * 300, subject="Ω" * 200),
        mail(to=tuple(MailAddress(f"Person {n}", f"person{n}@outside.test") for n in range(1000))),
        mail(references=tuple(f"{n}@outside.test" for n in range(30)), in_reply_to="29@outside.test"),
        mail(html="<p>Hello</p>", attachments=(Attachment("a.bin", "application/octet-stream", bytes(5000)),)),
    ],
    ids=["plain", "empty", "encoded", "a thousand people", "a thread", "parts"],
)
def test_what_is_written_here_passes(raw: bytes) -> None:
    whole = signed(raw)
    assert outcome(whole) == {"pass"}
    assert outcome(b"Received: from x by y; now\r\n" + whole) == {"pass"}
    assert all(len(line) <= 78 for line in whole[: -len(raw)].split(b"\r\n"))


def test_every_field_of_the_header_but_trace_fields_is_signed() -> None:
    raw = mail(cc=(MailAddress("", "c@outside.test"),), reply_to=(MailAddress("", "r@example.test"),),
               references=("0@outside.test",), in_reply_to="0@outside.test")  # fmt: skip
    block = raw.partition(b"\r\n\r\n")[0]
    names = {line.partition(b":")[0].decode().lower() for line in re.split(rb"\r\n(?![ \t])", block)}
    assert names == set(dkim.SIGNED)
    for name in names:
        changed = re.sub(rb"(?im)^%s: " % name.encode(), b"\\g<0>x", raw, count=1)
        assert outcome(signed(raw)[: -len(raw)] + changed) == {"header altered"}, name


@pytest.mark.parametrize("name", ["From", "Reply-To", "To", "Subject", "Cc", "Content-Type"])
def test_no_field_can_be_added_on_the_way(name: str) -> None:
    added = f"{name}: somebody@evil.test\r\n".encode()
    assert outcome(added + signed(mail())) == {"header altered"}


def test_a_change_of_the_body_is_seen_and_one_of_spaces_is_none() -> None:
    whole = signed(mail())
    assert outcome(whole.replace(b"they  are", b"they are")) == {"pass"}
    assert outcome(whole + b"\r\n\r\n") == {"pass"}
    assert outcome(whole.replace(b"they", b"them")) == {"body altered"}
    assert outcome(whole + b"unsubscribe\r\n") == {"body altered"}


@given(st.lists(st.sampled_from([b" ", b"\t", b"a", b"\r\n", b".", b"=20"]), max_size=40).map(b"".join))
def test_any_body_passes(body: bytes) -> None:
    assert outcome(signed(mail(text="").partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body)) == {"pass"}


def test_a_key_comes_back_from_its_octets() -> None:
    for key in KEYS:
        again = dkim.from_octets(dkim.to_octets(key.private))
        assert dkim.public_part(again) == dkim.public_part(key.private)
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ValueError, match="neither"):
        dkim.from_octets(other.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="key"):
        dkim.from_octets(b"no key")


def test_a_record_is_written_in_strings_that_fit() -> None:
    for name, value in RECORDS.items():
        line = dkim.zone_line(name, value)
        strings = re.findall(r'"([^"]*)"', line)
        assert "".join(strings) == value
        assert all(len(one) <= 255 for one in strings)
        assert line.startswith(f"{name}. IN TXT ")
        assert ("k=rsa" in value) == (len(strings) == 2)
