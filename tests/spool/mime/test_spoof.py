"""What pretends is noted; what is honest is not."""

import pytest

from spool.mime import notes
from spool.mime.parse import parse

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("sender", "body", "expected"),
    [
        ('"ceo@bank.test" <x@evil.test>', "", [notes.SENDER_DISGUISED]),
        ('"Ann (ann@bank.test)" <x@bank.test.evil.test>', "", [notes.SENDER_DISGUISED]),
        ("=?utf-8?q?ceo=40bank=2Etest?= <x@evil.test>", "", [notes.SENDER_DISGUISED]),
        ('"ann@mail.bank.test" <ann@bank.test>', "", []),
        ("Ann <ann@bank.test>", "", []),
        ("a@b\u0430nk.test", "", [notes.SENDER_ALPHABETS]),  # a Cyrillic a
        ("a@bücher.test", "", []),
        ("a@почта.test", "", []),
        ("a@x.test", '<a href="https://evil.test/">https://bank.test/login</a>', [notes.LINK_MISLEADING]),
        ("a@x.test", "<a class=b href='http://evil.test'><b>www.bank.test</b></a>", [notes.LINK_MISLEADING]),
        ("a@x.test", '<a href="https://bank.test.evil.test/">bank.test</a>', [notes.LINK_MISLEADING]),
        ("a@x.test", '<a href="https://www.bank.test/login?x">bank.test</a>', []),
        ("a@x.test", '<a href="https://login.bank.test/">https://bank.test/</a>', []),
        ("a@x.test", '<a href="https://files.test/1">report.pdf</a> <a href="https://evil.test">Click here</a>', []),
    ],
)
def test_pretending_mail_is_noted(sender: str, body: str, expected: list[str]) -> None:
    raw = f"From: {sender}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}\r\n".encode()
    assert list(parse(raw).notes) == expected
