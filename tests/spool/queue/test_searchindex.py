"""The full-text index: finds what was read, holds no word of it, and goes with the content."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import override_settings

from accounts.crypto import derive_key
from spool.mime.terms import question
from spool.models import Message
from spool.queue import content, parsing, searchindex
from tests.factories.spool import make_message

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


def test_many_words_and_many_repeats_are_stored() -> None:
    body = " ".join(f"w{number}" for number in range(20_000)).encode() + b" end"
    made = [make_message(raw=b"\r\n" + text).pk for text in (body, b"again " * 30_000)]
    parsing.sweep(now=NOW)
    assert find('"w11000 w11001"') == [made[0]]
    assert find('"again again"') == [made[1]]
