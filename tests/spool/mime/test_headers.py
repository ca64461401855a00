"""List columns from a byte scan: plain, encoded, hostile and duplicate headers."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.mime.addresses import MailAddress, parse_list
from spool.mime.headers import ListColumns, block_end, fields, scan
from spool.mime.words import MAX_WORDS, clean, decode_words

pytestmark = pytest.mark.pure


def mail(*lines: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b"body", b""])


def test_plain_headers() -> None:
    raw = mail(
        b"Received: from a by b;\r\n\tMon, 1 Jan 2026 00:00:00 +0000",
        b"Received: from c by a",
        b'From: "Alice Example" <alice@example.org>',
        b"Subject: Hello\r\n world",
        b"Message-ID: <1@example.org>",
    )
    assert scan(raw) == ListColumns("1@example.org", "Hello world", "Alice Example", "alice@example.org", 2)


def test_the_body_is_never_read() -> None:
    assert scan(mail(b"Subject: a") + b"From: x@y.test\r\n") == ListColumns(subject="a")


def test_the_first_of_duplicates_wins() -> None:
    assert scan(mail(b"Subject: first", b"Subject: second", b"From: a@x.test", b"From: b@x.test")) == ListColumns(
        subject="first", from_address="a@x.test"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"=?UTF-8?Q?Gr=C3=BC=C3=9Fe?= =?UTF-8?B?IQ==?=", "Grüße!"),
        (b"=?utf-8?q?=E2=82?= =?utf-8?q?=AC?=", "€"),  # one character in two words
        (b"=?x-unknown?q?a=FFb?=", "aÿb"),
        (b"=?utf-7?q?+ADw-script+AD4-?=", "+ADw-script+AD4-"),
        (b"=?UTF-8?Q?nl=0ABcc=3A_x?=", "nl Bcc: x"),
        ("Füße".encode(), "Füße"),
        ("Füße".encode("latin-1"), "Füße"),
        (b"a\xe2\x80\xaeexe.gpj", "aexe.gpj"),  # right-to-left override
        (b"a\x00b\x1b[31mc", "ab[31mc"),
        (b"=?utf-8?b?broken", "=?utf-8?b?broken"),
    ],
)
def test_subjects_are_decoded_and_cleaned(value: bytes, shown: str) -> None:
    assert scan(mail(b"Subject: " + value)).subject == shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a@x.test", [("", "a@x.test")]),
        ("Al Ice <a@x.test>, b@x.test", [("Al Ice", "a@x.test"), ("", "b@x.test")]),
        ('"Ice, Al \\"A\\"" <a@x.test>', [('Ice, Al "A"', "a@x.test")]),
        ("a@x.test (Al (the) Ice)", [("Al (the) Ice", "a@x.test")]),
        ("friends: a@x.test, B <b@x.test>;", [("", "a@x.test"), ("B", "b@x.test")]),
        ("undisclosed-recipients:;", []),
        ("\xa0, a@x.test", [("", "a@x.test")]),
        ("<@r.test,@s.test:a@x.test>", [("", "a@x.test")]),
        ('<"v@bank.test>"@evil.test>', [("", '"v@bank.test>"@evil.test')]),
        ('"v@bank.test" <a@evil.test>', [("v@bank.test", "a@evil.test")]),
        ("=?utf-8?q?a=2C_b?= <a@x.test>", [("a, b", "a@x.test")]),
        ("nobody", [("nobody", "")]),
        ("<a@[b", [("", "a@[b")]),
        ('"open <a@x.test>', [("", "")]),
    ],
)
def test_address_lists(value: str, expected: list[tuple[str, str]]) -> None:
    found = [(one.name, one.address) for one in parse_list(value)]
    if value.startswith('"open'):
        assert found == [("", '"open<a@x.test>')]
    else:
        assert found == expected


def test_caps() -> None:
    assert len(parse_list(", ".join(["a@x.test"] * 5_000))) == 500
    assert decode_words("=?utf-8?q?a?= " * 300).count("=?") == 300 - MAX_WORDS
    assert len(fields(b"A: b\r\n" * 5_000)) == 1_000
    assert len(scan(mail(b"Subject: " + b"a" * 9_000)).subject) == 255


@given(st.binary(max_size=2_000))
def test_scan_never_raises_and_is_storable(raw: bytes) -> None:
    columns = scan(b"Subject: " + raw + b"\r\nFrom: " + raw + b"\r\nMessage-ID: " + raw + b"\r\n\r\n")
    for value in (columns.subject, columns.from_name, columns.from_address, columns.message_id):
        assert "\0" not in value
        assert "\n" not in value
        value.encode("utf-8")
    assert len(columns.from_address) <= 320


@given(st.text(max_size=300))
def test_address_reader_accepts_anything(text: str) -> None:
    assert all(isinstance(one, MailAddress) for one in parse_list(text))


@given(st.text(max_size=200))
def test_clean_is_idempotent(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n"]), max_size=12).map(b"".join), st.integers(0, 4))
def test_the_header_block_ends_at_the_first_empty_line(raw: bytes, start: int) -> None:
    empty = re.search(rb"(?:\A|(?<=\n))\r?\n", raw[start:])
    found = (start + empty.start(), start + empty.end()) if empty else (len(raw), len(raw))
    assert block_end(raw, start) == found
