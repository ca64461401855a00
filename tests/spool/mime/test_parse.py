"""Reading messages: structure, charsets, names, bodies, and what is said when something is odd."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spool.mime import notes
from spool.mime.parse import MailAddress, ParsedMessage, PartMissingError, inline_images, parse, part_content

pytestmark = pytest.mark.pure

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def test_header_fields() -> None:
    found = parse(
        crlf(
            "From: =?utf-8?q?Ann_=C3=84?= <ann@example.org>\nTo: team: b@x.test, C <c@x.test>;\nCc: d@x.test\n"
            "Reply-To: r@x.test\nSubject: a\n b\nDate: Fri, 2 Jan 2026 04:04:05 +0100\nMessage-ID: <1@x>\n"
            "In-Reply-To: <0@x>\nReferences: <a@x>\n <0@x>\n\nHi\n"
        )
    )
    assert found.from_ == (MailAddress("Ann Ä", "ann@example.org"),)
    assert [one.address for one in found.to + found.cc + found.reply_to] == [
        "b@x.test",
        "c@x.test",
        "d@x.test",
        "r@x.test",
    ]
    assert (found.subject, found.message_id, found.in_reply_to) == ("a b", "1@x", "0@x")
    assert found.references == ("a@x", "0@x")
    assert found.date is not None
    assert found.date.isoformat() == "2026-01-02T03:04:05+00:00"
    assert (found.text, found.html, found.parts, found.notes) == ("Hi", "", (), ())


ALTERNATIVE = (
    'Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/related; boundary="r"\n\n'
    "--r\nContent-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain\n\nplain\n"
    '--a\nContent-Type: text/html; charset=utf-8\n\n<p>h <img src="cid:pic@x"></p>\n--a--\n'
    "--r\nContent-Type: image/png; name=p.png\nContent-ID: <pic@x>\nContent-Transfer-Encoding: base64\n\n"
    "iVBORw0KGgoAAAAAAAAA\n--r--\n"
    "--m\nContent-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''B%C3%A4r.pdf\n\n%PDF-1.7\n"
    "--m\nContent-Type: message/rfc822\n\nSubject: Inner mail\n\ninside\n--m--\nepilogue\n"
)


def test_alternatives_related_images_attachments_and_nested_mail() -> None:
    raw = crlf(ALTERNATIVE)
    found = parse(raw)
    assert found.text == "plain"
    assert found.html.startswith("<p>h <img")
    assert [(part.name, part.true_type, part.inline) for part in found.parts] == [
        ("p.png", "image/png", True),
        ("Bär.pdf", "application/pdf", False),
        ("Inner mail.eml", "application/octet-stream", False),
    ]
    assert [part.name for part in found.attachments] == ["Bär.pdf", "Inner mail.eml"]
    assert part_content(raw, found.parts[1].index) == b"%PDF-1.7"
    assert part_content(raw, found.parts[2].index) == b"Subject: Inner mail\r\n\r\ninside"
    assert inline_images(raw, found) == {"pic@x": ("image/png", b"\x89PNG\r\n\x1a\n" + b"\0" * 7)}
    assert [part.size for part in found.parts] == [15, 8, 29]
    with pytest.raises(PartMissingError):
        part_content(raw, 0)


def test_json_round_trip() -> None:
    found = parse(crlf("Date: Fri, 2 Jan 2026 04:04:05 +0100\nFrom: a@x.test\n" + ALTERNATIVE))
    assert ParsedMessage.from_json(found.to_json()) == found
    assert isinstance(json.loads(found.to_json()), dict)


@pytest.mark.parametrize(
    ("charset", "data", "text", "note"),
    [
        ("utf-8", "€".encode(), "€", None),
        ("iso-8859-1", b"\xe4\x80", "ä€", None),  # read as windows-1252, as everybody does
        ("us-ascii", "ä".encode(), "ä", None),
        ("", b"\xe4", "ä", notes.CHARSET_UNFIT),
        ("gb2312", "你好".encode("gb18030"), "你好", None),
        ("big5", "你好".encode("big5"), "你好", None),
        ("euc-kr", "안녕".encode("cp949"), "안녕", None),
        ("shift_jis", "こん".encode("cp932"), "こん", None),
        ("iso-2022-jp", "こん".encode("iso2022_jp"), "こん", None),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет", None),
        ("windows-1251", "Привет".encode("cp1251"), "Привет", None),
        ("utf-16", "hä".encode("utf-16"), "hä", None),
        ("utf-16", "ha".encode("utf-16-be"), "ha", notes.CHARSET_UTF8),
        ("utf-7", b"+ADw-script+AD4-", "+ADw-script+AD4-", notes.CHARSET_UTF8),
        ("x-unknown", "ä".encode(), "ä", notes.CHARSET_UTF8),
        ("utf-8", b"\xe4\xff", "äÿ", notes.CHARSET_UNFIT),
        ("punycode", b"abc", "abc", notes.CHARSET_UTF8),
        ("idna", b"\xe4", "ä", notes.CHARSET_UNFIT),
        ("a\0b", b"abc", "abc", notes.CHARSET_UTF8),
    ],
)
def test_charsets(charset: str, data: bytes, text: str, note: str | None) -> None:
    found = parse(b"Content-Type: text/plain; charset=" + charset.encode() + b"\r\n\r\n" + data)
    assert found.text == text.replace("\0", "")
    assert found.notes == ((note,) if note else ())


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a.txt"', "a.txt"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\dir\\\\a.exe"', "a.exe"),
        ("attachment; filename=my file.pdf; x=y", "my file.pdf"),
        ("attachment; filename*0*=utf-8''%E2%82; filename*1*=%AC; filename*2=.txt", "€.txt"),
        ("attachment; filename*=iso-8859-1'en'%E4.txt; filename=b.txt", "ä.txt"),
        ('attachment; filename="=?utf-8?q?=C3=A4.txt?="', "ä.txt"),
        ('attachment; filename="photo\u202egpj.exe"', "photogpj.exe"),
        ('attachment; filename="a.pdf.exe   "', "a.pdf.exe"),
        ('attachment; filename="CON.txt"', "_CON.txt"),
        ("attachment", "attachment-1.txt"),
        ('attachment; filename="..."', "attachment-1.txt"),
        (f'attachment; filename="{"a" * 400}.docx"', "a" * 145 + ".docx"),
        (f'attachment; filename="{"a" * 145}.exe. {"b" * 20}"', "a" * 145 + ".exe"),
    ],
)
def test_file_names(header: str, name: str) -> None:
    found = parse(f"Content-Disposition: {header}\r\n\r\nx".encode())
    assert [part.name for part in found.parts] == [name]


@pytest.mark.parametrize(
    ("extra", "note"),
    [
        ("Subject: a\nSubject: b\n\nx", notes.DUPLICATE_HEADER),
        ("Date: sometime\n\nx", notes.DATE_ODD),
        ("Date: Fri, 31 Dec 9999 23:59:59 +0000\n\nx", notes.DATE_ODD),  # not to be shown east of Greenwich
        ("Content-Transfer-Encoding: x-uuencode\n\nx", notes.ENCODING_UNKNOWN),
        ("Content-Transfer-Encoding: base64\n\nSGk", notes.ENCODING_BROKEN),
        ("Content-Type: multipart/mixed\n\nx", notes.NO_BOUNDARY),
        ("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx", notes.UNFINISHED),
        ("Content-Disposition: attachment; filename=a.pdf\n\nMZ\x90", notes.PROGRAM_DISGUISED),
        ("To: " + "a@x.test, " * 600 + "\n\nx", notes.ADDRESSES_CUT),
        ("X: y\n" * 1_100 + "\nx", notes.HEADERS_CUT),
        ("\n" + "x" * 600_000, notes.TEXT_CUT),
    ],
)
def test_what_is_odd_is_said(extra: str, note: str) -> None:
    found = parse(extra.encode("latin-1"))
    assert found.notes == (note,)
    assert "x" in found.text or found.text == "Hi" or found.parts


def test_first_of_duplicates_wins() -> None:
    assert parse(b"Subject: a\nSubject: b\n\n").subject == "a"


def test_format_flowed() -> None:
    raw = b"Content-Type: text/plain; format=flowed\r\n\r\nOne \r\ntwo\r\n> q1 \r\n> q2\r\n-- \r\nsig\r\n"
    assert parse(raw).text == "One two\n> q1 q2\n-- \nsig"
    raw = raw.replace(b"flowed", b"flowed; delsp=yes")
    assert parse(raw).text.startswith("Onetwo\n")


def test_text_is_made_from_html() -> None:
    found = parse(
        b"Content-Type: text/html\r\n\r\n<style>x</style><p>One &lt;b&gt;</p><div>two<br>three</div><script>y</script>"
    )
    assert found.text == "One <b>\n\ntwo\nthree"
    assert found.snippet() == "One <b> two three"


def test_a_snippet_is_one_clean_line() -> None:
    assert parse("\n\na\u202eb\0c\x1b[31m\n\u200bd".encode()).snippet() == "abc[31m d"


@given(st.text("ab> \n\t\xa0", max_size=400), st.integers(1, 60))
def test_a_snippet_is_the_first_words_without_quoted_lines(text: str, length: int) -> None:
    said = (line for line in text[: length * 40].split("\n") if not line.startswith(">"))
    assert ParsedMessage(text=text).snippet(length) == " ".join(" ".join(said).split())[:length].strip()


def test_digest_parts_are_messages() -> None:
    raw = b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\n1\n--b\n\nSubject: two\n\n2\n--b--\n"
    assert [part.name for part in parse(raw).parts] == ["one.eml", "two.eml"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([
    b"--b\r\n", b"--b--\r\n", b"--c\r\n", b"Content-Type: multipart/mixed; boundary=b\r\n", b"\r\n", b"\n", b"\0",
    b"Content-Type: multipart/alternative; boundary=c\r\n", b"Content-Type: text/html; charset=gb2312\r\n", b"text\xff",
    b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n", b"=3D=\r\n", b"QUJD",
    b"Content-Disposition: attachment; filename*0*=utf-8''%ff\r\n", b"Content-Type: message/rfc822\r\n", b"--", b":",
    b"From: <a@[b\r\n", b"To: g:;,,(((\"\r\n", b"Date: 99 Foo 99999\r\n", b"Subject: =?utf-8?b?====?= =?x?q??=\r\n",
]), max_size=40).map(b"".join))  # fmt: skip
def test_nothing_raises_and_everything_is_found_again(raw: bytes) -> None:
    found = parse(raw)
    assert ParsedMessage.from_json(found.to_json()) == found
    for part in found.parts:
        assert len(part_content(raw, part.index)) == part.size
        assert part.name


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3_000))
def test_any_octets(raw: bytes) -> None:
    parse(raw).to_json().encode()
