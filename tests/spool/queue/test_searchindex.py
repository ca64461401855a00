"""The full-text index: finds what was read, holds no word of it, and goes with the content."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b, sha256

import pytest
from django.db import connection
from django.test import override_settings

from accounts.crypto import derive_key
from spool.mime.parse import parse
from spool.mime.terms import FIELDS, of_message, prefixes, question
from spool.models import Message
from spool.queue import content, parsing, searchindex
from tests.corpora import cpython_files
from tests.factories.spool import make_message

TABLE = searchindex.TABLE
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RAW = (
    "From: Erika Éxample <erika@outside.test>\r\nTo: anna@example.test\r\nSubject: Invoices of Zanzibar\r\n"
    'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'
    "The quick brown fox jumps over the lazy dog. 会議は明日です\r\n"
    "--b\r\nContent-Type: application/pdf\r\n"
    'Content-Disposition: attachment; filename="Quittung.pdf"\r\n\r\n%PDF\r\n--b--\r\n'
).encode()

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _stop_shared_pool():  # type: ignore[no-untyped-def]
    yield
    parsing.stop()


def find(text: str) -> list[int]:
    return list(Message.objects.filter(pk__in=searchindex.matching(question(text))).values_list("pk", flat=True))


def stored() -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {searchindex.TABLE}")
        return repr(cursor.fetchall())


def test_words_phrases_fields_and_beginnings() -> None:
    made = make_message(raw=RAW).pk
    make_message(raw=b"Subject: nothing of it\r\n\r\nthe lazy quick\r\n")
    parsing.sweep(now=NOW)
    for text in (
        "fox ", "QUICK dog. ", '"brown fox"', '"over the lazy dog"', "example ", "from:erika@outside.test", "to:anna ",
        "subject:zanzibar ", "file:quittung.pdf",
        "quittung ", "会議", "明日", "invo", "zanz", "from:outs", "subject:invo", "file:quitt",
        "fox zanzibar ",
    ):  # fmt: skip
        assert find(text) == [made], text
    for text in (
        "hound ", '"fox brown"', "subject:fox ", "from:anna ", '"of zanzibar erika"', "議会", "invo ", "inv zzz",
        "file:zanzibar ", '"outside test anna"', "to:quittung.pdf ",
        "file:anna ", "file:fox ", "subject:outs", "to:invo",
    ):  # fmt: skip
        assert find(text) == [], text


ALTERNATIVE = (
    b'Subject: Quote 4411\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nQuote 4411: 10,350 euros.\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<style>p { color: red }</style><h2>Hydraulic ramp</h2>"
    b"<p>for the <b>new</b> loading&nbsp;bay</p>\r\n--b--\r\n"
)


def test_what_people_see_is_found_and_the_plain_text_beside_it() -> None:
    message = make_message(raw=ALTERNATIVE)
    parsing.sweep(now=NOW)
    for text in ("hydraulic ", '"loading bay"', '"ramp for the new loading bay"', '"10 350 euros"', "euros ramp "):
        assert find(text) == [message.pk], text
    for text in ('"bay quote"', '"euros hydraulic"', "color ", '"loading bay | quote"'):
        assert find(text) == [], text
    content.erase([message], now=NOW)
    assert find("hydraulic ") == find("euros ") == []
    assert stored() == "[]"


def test_no_word_is_in_the_index_and_another_key_finds_nothing() -> None:
    make_message(raw=RAW)
    parsing.sweep(now=NOW)
    shown = stored().lower()
    assert len(shown) > 300
    for word in ("zanzibar", "invoices", "quick", "erika", "quittung"):
        assert word not in shown
    assert find("zanzibar ")
    with override_settings(FIELD_KEYS={"0badcafe": b"k" * 32}):
        derive_key.cache_clear()
        searchindex.forget()
        assert not find("zanzibar ")
    derive_key.cache_clear()
    searchindex.forget()
    assert find("zanzibar ")


def test_a_rotated_key_still_finds(settings) -> None:  # type: ignore[no-untyped-def]
    make_message(raw=RAW)
    parsing.sweep(now=NOW)
    settings.FIELD_KEYS = {"0badcafe": b"k" * 32, **settings.FIELD_KEYS}
    derive_key.cache_clear()
    searchindex.forget()
    assert find("zanzibar ")
    derive_key.cache_clear()


def test_the_row_goes_with_the_content_and_with_the_message() -> None:
    erased, deleted = make_message(raw=RAW), make_message(raw=RAW + b"more\r\n")
    parsing.sweep(now=NOW)
    assert set(find("fox ")) == {erased.pk, deleted.pk}
    content.erase([erased], now=NOW)
    assert find("fox ") == [deleted.pk]
    deleted.deliveries.all().delete()
    Message.objects.filter(pk=deleted.pk).delete()
    assert stored() == "[]"
    searchindex.tidy()


def test_a_rolled_back_erasure_keeps_the_row() -> None:
    from django.db import transaction

    message = make_message(raw=RAW)
    parsing.sweep(now=NOW)
    with transaction.atomic():
        content.erase([message], now=NOW)
        transaction.set_rollback(True)
    assert find("fox ") == [message.pk]


def hashed(kind: bytes, text: str) -> str:
    """As ADR 0013 says it, without anything that makes it quick."""
    return blake2b(text.encode(), digest_size=5, key=derive_key("search index"), person=kind).hexdigest()


def as_told(raw: bytes) -> tuple[str, ...]:
    """The words of a mail as hashes, a text a field, and the beginnings of words."""
    fields = of_message(parse(raw))
    words = (" ".join(hashed(b"term", word) for word in fields.get(name, "").split()) for name in FIELDS)
    named = ("subject", "sender", "recipients", "files")
    begun = {f"{name}:{prefix}" for name in named for prefix in prefixes(fields.get(name, "").split())}
    return *words, " ".join(sorted(hashed(b"prefix", one) for one in begun))


def as_vector(row: Sequence[str]) -> str:
    """The same as the text form of a tsvector (docs/adr/0013: four weights, file names once more under a mark)."""
    weights = {"subject": "A", "sender": "B", "recipients": "C"}
    lexemes: dict[str, list[str]] = {}
    position = 1
    for name, words in zip(FIELDS, row, strict=False):
        for word in words.split():
            lexemes.setdefault(word, []).append(f"{position}{weights.get(name, '')}")
            if name == "files":
                lexemes.setdefault(f"f{word}", []).append(str(position))
            position += 1
        position += 1
    placed = [f"{word}:{','.join(at[:255])}" for word, at in lexemes.items()]
    return " ".join([*placed, *(f"p{one}" for one in row[-1].split())])


def index_rows() -> dict[int, tuple[str, ...]]:
    columns = "rowid, " + ", ".join((*FIELDS, "beginnings"))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns if connection.vendor == 'sqlite' else 'message_id, terms::text'} FROM {TABLE}")
        return {row[0]: row[1:] for row in cursor.fetchall()}


def comparable(row: tuple[str, ...]) -> tuple[str, ...]:
    """An expected row as the database shows it."""
    if connection.vendor == "sqlite":
        return row
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::tsvector::text", [as_vector(row)])
        return tuple(cursor.fetchone())


ODD = (
    b"",
    b"Subject: only a subject, only a subject\r\n\r\n",
    b"Subject: repeats\r\n\r\n" + b"again and again " * 600,
    b"Subject: once\r\n\r\n" + " ".join(f"w{number}" for number in range(13_000)).encode(),
    b'Content-Type: a/b; name="repeats repeats.pdf"\r\nContent-Disposition: attachment\r\n\r\n',
    RAW,
    RAW.replace(b"text/plain", b"text/html").replace(
        b"quick", b"<b>quick</b> \xc3\xbcber &amp; Stra\xc3\x9fe " + b"y" * 99
    ),
)


def test_every_index_row_is_what_the_decision_says() -> None:
    mails = dict.fromkeys([*ODD, *(path.read_bytes() for path in cpython_files())])
    made = {make_message(raw=raw).pk: raw for raw in mails}
    while parsing.sweep(now=NOW):
        pass
    assert index_rows() == {pk: comparable(as_told(raw)) for pk, raw in made.items()}


def test_rows_written_by_earlier_versions_are_still_found() -> None:
    """A change of the rules makes every index of an installation useless: then it must be built anew."""
    digest = sha256(repr([as_told(raw) for raw in ODD]).encode()).hexdigest()
    assert digest == "d856bbf4d735aafc90e9e1165ca9064e79f2b0252e5176a3ba9d5a7e24ff6fdd"


def test_a_row_written_again_replaces_the_first() -> None:
    message = make_message(raw=RAW)
    parsing.sweep(now=NOW)
    searchindex.write([searchindex.row(message.pk, {"body": "hound"})])
    assert find("hound ") == [message.pk]
    assert not find("fox ")


def test_many_words_and_many_repeats_are_stored() -> None:
    body = " ".join(f"w{number}" for number in range(20_000)).encode() + b" end"
    made = [make_message(raw=b"\r\n" + text).pk for text in (body, b"again " * 30_000)]
    parsing.sweep(now=NOW)
    assert find('"w11000 w11001"') == [made[0]]
    assert find('"again again"') == [made[1]]
