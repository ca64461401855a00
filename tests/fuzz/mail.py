"""Reading mail: targets `mime` (a whole message) and `headers` (RFC 2047, RFC 2231, addresses, dates, identifiers)."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain

from spool.mime import addresses, body, decode, filetypes, params, render, reply, terms, words
from spool.mime.compose import ComposeError, Composition, compose
from spool.mime.headers import ADDRESS_LENGTH, NAME_LENGTH, ListColumns, fields, scan
from spool.mime.parse import MAX_LINE, MAX_REFERENCES, MAX_TEXT, PartMissingError, parse, part_content
from spool.mime.parsed import MailAddress, ParsedMessage
from spool.mime.walk import MAX_DEPTH, MAX_PARTS, Tree, walk
from tests.corpora import corpus_mails
from tests.fuzz import wording
from tests.fuzz.target import Target, check

ME = MailAddress("Anna", "anna@example.test")
FARTHEST = (timezone(timedelta(hours=14)), timezone(timedelta(hours=-12)))  # a reader's clock may show
SEED_SIZE = 20_000  # octets of a corpus file that are used
TOKENS = (
    b"\r\n", b"\r\n\r\n", b"\n", b"--b", b"--b--", b"--b\r\n", b"\r\n--b\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"Content-Type: multipart/alternative; boundary=c\r\n\r\n",
    b"--c\r\n", b"Content-Type: text/html\r\n\r\n", b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Type: text/plain; charset=utf-16\r\n", b"; format=flowed; delsp=yes",
    b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n", b"=0D=0A", b"=",
    b"QUJD", b"Content-Disposition: attachment; filename=a.exe\r\n", b"Content-ID: <a@b>\r\n", b"MZ\x90\0",
    b"\x89PNG\r\n\x1a\n", b"Subject: ", b"From: ", b"To: ", b"Date: ", b"Message-ID: ", b"References: ", b"<a@b>",
    b"charset=", b"iso-2022-kr", b"hz-gb-2312", b"gb18030", b"big5", b"<p style='color:red'>x</p>",
    b"<a href=http://x>y</a>", b"&#x202e;", b"&#13;", b"<meta charset=utf-16>", b"\xff\xfe", b"\xe2\x80\xae", b"> ",
    b">", b"-- \r\n",
)  # fmt: skip
VALUE_TOKENS = (
    b"=?utf-8?q?", b"=?utf-8?b?", b"?=", b"=?utf-16?b?", b"=?iso-2022-jp?b?", b"=?x?q?", b"=0A", b"=00",
    b"=E2=80=AE", b"_", b"\xe2\x80\xae", b"\xe2\x80\x8d", b"\xe2\x80\xa8", b"\xc3\xa9", b"\xed\xa0\x80", b"\xff",
    b"\0", b"\x1b[31m", b"\r\n ", b"\t", b'"', b"\\", b"<", b">", b"(", b")", b",", b";", b":", b"@", b"a@b.test",
    b"<a@b.test>", b"filename*=utf-8''%e2%80%ae", b"filename*0*=", b"filename*1=", b"name=", b"%00", b"%0d%0a",
    b"..", b"/", b".exe", b"Fri, 31 Dec 9999 23:59:59 +0000", b"1 Jan 0001 00:00 -1200", b"+9999", b"-0000",
    b"Mon, ", b"24:61:61", b"con", b"=?utf-8?b?7aCA?=",
)  # fmt: skip
VALUES = (
    b"=?UTF-8?Q?Gr=C3=BC=C3=9Fe?= =?UTF-8?B?IQ==?=", b'"Ice, Al \\"A\\"" <a@x.test>, g: b@x.test;',
    b"<@r.test:a@x.test> (c)", b"Mon, 1 Jan 2026 00:00:00 +0100", b"31 Dec 9999 23:59:59 -1200",
    b"<1@x.test> <2@x.test>", b"attachment; filename*0*=utf-8''a%20; filename*1=b.txt",
    b'a/b; name="=?utf-8?q?x=2Eexe?="', b"aux.txt", b"a/b\\c.",
)  # fmt: skip
MULTIPART = b"\r\n".join(
    [
        b"From: a@x.test\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\ntext\r\n--c",
        b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<img src=cid:a@b>",
        b"--b\r\nContent-Type: image/png\r\nContent-ID: <a@b>\r\nContent-Transfer-Encoding: base64\r\n",
        b"iVBORw0KGgo=\r\n--b--\r\n--c--\r\n",
    ]
)


# --- oracles ---------------------------------------------------------------------------------------------------------
def check_columns(columns: ListColumns) -> None:
    """List columns: one line each, no longer than their columns, kept by both databases."""
    lengths = {"message_id": 255, "subject": 255, "from_name": NAME_LENGTH, "from_address": ADDRESS_LENGTH}
    for name, longest in lengths.items():
        wording.one_line(getattr(columns, name), longest)
        wording.storable(getattr(columns, name))


def check_addresses(found: tuple[MailAddress, ...]) -> None:
    check(len(found) <= addresses.MAX_ADDRESSES, "more addresses than are read", len(found))
    for one in found:
        wording.one_line(one.name, addresses.MAX_NAME)
        wording.one_line(one.address, addresses.MAX_ADDRESS)
        check(bool(one.name or one.address), "an address of nothing")


def check_date(date: datetime | None) -> None:
    """Whatever a sender writes, every reader's clock can show it."""
    if date is None:
        return
    check(date.tzinfo is not None and datetime.fromisoformat(date.isoformat()) == date, "a date that is not kept", date)
    for zone in FARTHEST:
        try:
            date.astimezone(zone)
        except OverflowError:
            check(False, "a date no clock can show", date)


def check_message(message: ParsedMessage) -> None:
    for text in (message.subject, message.message_id, message.in_reply_to, *message.references):
        wording.one_line(text, MAX_LINE)
    check(len(message.references) <= MAX_REFERENCES, "more references than are read")
    for group in (message.from_, message.to, message.cc, message.reply_to):
        check_addresses(group)
    check_date(message.date)
    for text in (message.text, message.html):
        wording.storable(text)
        check("\r" not in text and len(text) <= MAX_TEXT, "a text that is not bounded or has a CR", text[-200:])
    wording.one_line(message.snippet(), 140)
    check(ParsedMessage.from_json(message.to_json().encode()) == message, "a message that does not survive JSON")


def check_parts(raw: bytes, message: ParsedMessage) -> None:
    check(len(message.parts) <= MAX_PARTS, "more parts than are read", len(message.parts))
    for part in message.parts:
        check_file_name(part.name)
        wording.one_line(part.content_id, MAX_LINE)
    for part in message.parts[:5]:
        check(len(part_content(raw, part.index)) == part.size, "a part of another size", part)
    for index in (-1, len(message.parts) + MAX_PARTS):
        try:
            part_content(raw, index)
        except PartMissingError:
            continue
        check(False, "a part that is not there is given")


def check_file_name(name: str) -> None:
    wording.one_line(name, filetypes.MAX_NAME)
    check(bool(name) and not set('/\\:*?"<>|') & set(name), "a file name that is none", name)
    check(name == name.strip(" ."), "a file name that some systems write otherwise", name)


def check_tree(raw: bytes, tree: Tree) -> None:
    """Caps hold, and each part lies inside the octets and, among the leaves, is shown or offered."""
    check(len(tree.nodes) <= MAX_PARTS + 1, "more parts than the cap", len(tree.nodes))
    check(max(node.depth for node in tree.nodes) <= MAX_DEPTH, "deeper than the cap")
    check(all(0 <= node.start <= node.end <= len(raw) for node in tree.nodes), "a part outside the octets")
    chosen = body.select(tree.root)
    leaves = body.leaves(tree.root)
    shown = {id(node) for node in chain(chosen.text, chosen.html, chosen.files)}
    check({id(node) for node in leaves} <= shown, "a part that is neither shown nor offered")
    check(len(chosen.text) + len(chosen.html) + len(chosen.files) <= 3 * len(leaves), "parts are shown over and over")
    for node in tree.nodes:
        decode.content(raw, node, 100)


def check_answer(message: ParsedMessage) -> None:
    """What an answer takes over from a stranger's header adds no field to it (C9)."""
    to, cc = reply.reply_recipients(message, own=[ME.address], everyone=True)
    with suppress(ComposeError):
        answer = Composition(
            "1@example.test",
            datetime(2026, 1, 1, tzinfo=UTC),
            ME,
            to,
            cc,
            subject=reply.reply_subject(message.subject),
            text=reply.quote(message.text),
            references=reply.references(message),
        )
        raw = compose(answer)
        names = [name for name, _ in fields(raw[: raw.index(b"\r\n\r\n") + 2])]
        known = {"date", "from", "message-id", "to", "cc", "subject", "references", "mime-version", "content-type"}
        check(set(names) <= known | {"content-transfer-encoding"}, "a field that nobody wrote", names)


# --- targets ---------------------------------------------------------------------------------------------------------
def run_mime(raw: bytes) -> None:
    check_tree(raw, walk(raw))
    message = parse(raw)
    check_message(message)
    check_parts(raw, message)
    check_columns(scan(raw))
    found = terms.of_message(message)
    check(set(found) <= set(terms.FIELDS), "a field that the index does not know")
    check(
        all(len(word) <= terms.MAX_TERM for text in found.values() for word in text.split()), "a term that is too long"
    )
    for as_text in (False, True):
        wording.storable(render.page(raw, as_text=as_text, dark=None).document)
    check_answer(message)


def run_headers(value: bytes) -> None:
    text = words.display(value)
    wording.one_line(text, 3 * len(value) + 8)  # an octet that fits no charset may become three characters
    check(words.clean(text) == text, "cleaning what is clean changes it", text)
    head = b"".join(name + b": " + value + b"\r\n" for name in NAMES)
    check_columns(scan(head + b"\r\n"))
    message = parse(head + b"\r\nx\r\n")
    check_message(message)
    decoded = value.decode("utf-8", "replace")
    check_addresses(addresses.parse_list(decoded))
    main, found = params.parse(decoded)
    for one in (main, *found, *found.values()):
        one.encode()  # no lone surrogate; what is shown of it is cleaned where it is used
    check_file_name(filetypes.safe_name(decoded, "text/plain", 1))
    for name in found.values():
        check_file_name(filetypes.safe_name(name, "text/plain", 1))
    check_answer(message)


NAMES = (
    b"Subject", b"From", b"To", b"Reply-To", b"Date", b"Message-ID", b"References", b"In-Reply-To", b"Content-ID",
    b"Content-Disposition", b"Content-Type",
)  # fmt: skip


def mime_seeds() -> list[bytes]:
    own = [MULTIPART, b"Subject: a\r\n\r\nb\r\n", b"Content-Type: text/html\r\n\r\n<p>x", b""]
    return own + [path.read_bytes()[:SEED_SIZE] for path in corpus_mails()]


def header_seeds() -> list[bytes]:
    """Own values, and those of the fields that the corpora hold."""
    found = {value for path in corpus_mails() for _, value in fields(path.read_bytes()[:SEED_SIZE]) if len(value) < 600}
    return [*VALUES, *sorted(found)]


TARGETS = (
    Target("mime", run_mime, mime_seeds, (*TOKENS, *VALUE_TOKENS), longest=32 * 1024),
    Target("headers", run_headers, header_seeds, VALUE_TOKENS, longest=2_000),
)
