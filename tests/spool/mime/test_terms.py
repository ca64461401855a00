"""Words made comparable: the same on the side of the text and of the question."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.mime.addresses import MailAddress
from spool.mime.parsed import ParsedMessage, Part
from spool.mime.terms import MAX_BODY, MAX_TERM, Phrase, TooLongError, of_message, prefixes, question, terms

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Überweisung, STRASSE and Straße", ["uberweisung", "strasse", "and", "strasse"]),
        ("erika@outside.test", ["erika", "outside", "test"]),
        ("Invoice_2024-07", ["invoice", "2024", "07"]),
        ("ﬁle ＡＢＣ①", ["file", "abc1"]),
        ("会議の notes", ["会", "議", "の", "notes"]),
        ("co\u00adoperate zero\u200bwidth", ["cooperate", "zerowidth"]),
        ("Ελλάδα Москва שלום", ["ελλαδα", "москва", "שלום"]),
        ("!!! \x00 ___ 👍", []),
        ("x" * 1000, ["x" * MAX_TERM]),
    ],
)
def test_folding(text: str, found: list[str]) -> None:
    assert terms(text) == found


@given(st.text(max_size=300))
def test_any_text_gives_words_that_give_themselves(text: str) -> None:
    found = terms(text, 1000)
    assert all(word and " " not in word for word in found)
    assert [part for word in found for part in terms(word)] == found


@given(st.text(st.characters(max_codepoint=127), max_size=300), st.integers(0, 20))
def test_plain_english_takes_a_shorter_way_to_the_same_words(text: str, limit: int) -> None:
    assert terms(text, limit) == terms(f"{text} \u00fc", 1000)[:-1][:limit]


def test_a_message_gives_its_fields_and_a_bounded_body() -> None:
    message = ParsedMessage(
        subject="Angebot Nr. 7",
        from_=(MailAddress("Erika", "e@x.test"),),
        to=(MailAddress("", "anna@example.test"),),
        text="word " * (MAX_BODY + 50),
        parts=(Part(1, "Plan final.pdf", "application/pdf", "application/pdf", 3),),
    )
    found = of_message(message)
    assert found["subject"] == "angebot nr 7"
    assert found["sender"] == "erika e x test"
    assert found["recipients"] == "anna example test"
    assert found["files"] == "plan final pdf"
    assert len(found["body"].split()) == MAX_BODY
    assert of_message(ParsedMessage()) == {}


def test_shown_html_and_a_plain_text_that_differs_lie_apart() -> None:
    def body(**texts: Any) -> str:
        return of_message(ParsedMessage(**texts)).get("body", "")

    assert body(text="Quote 4411", html="<p>Hydraulic <b>ramp</b></p>") == "hydraulic ramp | quote 4411"
    assert body(text="The  ramp.", html="<h1>The</h1>ramp") == "the ramp"
    assert body(text="a ramp", html="<p>See</p>a<br>ramp here") == "see a ramp here"
    assert body(text="see a ramp here", html="a ramp") == "see a ramp here"
    assert body(text="amp", html="a ramp") == "a ramp | amp"
    assert body(text="", html="<p>ramp</p>") == body(text="ramp", html="<img>") == "ramp"
    assert body(text="made of it", html="<p>never read</p>", text_of_html=True) == "made of it"
    assert len(body(text="word " * MAX_BODY, html="other " * (MAX_BODY - 5)).split()) == MAX_BODY
    assert question("|") == question('"ramp | quote"')[1:] == []


def test_beginnings_of_words() -> None:
    assert prefixes(["invoices", "in", "inv"]) == {"inv", "invo", "invoi", "invoic"}


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("", []),
        ('?! "" from: *', [Phrase(("from",))]),
        ("plan b invo", [Phrase(("plan",)), Phrase(("b",)), Phrase(("invo",), open_end=True)]),
        ("invo ", [Phrase(("invo",))]),
        ('"quarterly figures" x', [Phrase(("quarterly", "figures")), Phrase(("x",))]),
        ('"never closed', [Phrase(("never", "closed"))]),
        ("FROM:erika@x.test", [Phrase(("erika", "x", "test"), "sender")]),
        ('subject:"plan b"', [Phrase(("plan", "b"), "subject")]),
    ],
)
def test_questions(text: str, phrases: list[Phrase]) -> None:
    assert question(text) == phrases


@pytest.mark.parametrize("text", ["x" * 401, "a " * 60, '"' + "a " * 60 + '"'])
def test_a_question_has_an_end(text: str) -> None:
    with pytest.raises(TooLongError):
        question(text)
