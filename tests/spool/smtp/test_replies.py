"""Replies are read and judged by RFC 5321 section 4.2, whatever a server says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.escape import escape
from spool import enums
from spool.smtp.replies import MAX_TEXT, Outcome, Phase, Reply, ReplySyntaxError, harmless, judge, parse_line

pytestmark = pytest.mark.pure


def test_words_are_those_of_the_database() -> None:
    assert {phase.value for phase in Phase} == set(enums.Phase.values)
    assert {outcome.value for outcome in Outcome} == set(enums.Outcome.values)


@given(st.binary(max_size=60))
def test_any_line_is_a_reply_or_a_named_error(line: bytes) -> None:
    try:
        code, _, text = parse_line(line)
    except ReplySyntaxError:
        return
    assert 200 <= code <= 599
    assert Reply(code, harmless(text)).enhanced.isascii()


@given(st.text(st.one_of(st.characters(), st.sampled_from("\x00\x1b\x7f\x9f\u2028\u061c\u200f\u202e\u2066"))))
def test_harmless_text_fits_the_column_and_holds_no_controls(text: str) -> None:
    kept = harmless(text)
    assert len(kept) <= 512
    assert not any(ord(character) < 32 or character in "\u202e\u2028\x7f" for character in kept)


@pytest.mark.parametrize(
    ("code", "phase", "outcome"),
    [
        (550, Phase.RCPT, Outcome.PERMANENT),
        (554, Phase.DOT, Outcome.PERMANENT),
        (554, Phase.GREETING, Outcome.TRANSIENT),  # a host that refuses everybody is in trouble
        (530, Phase.MAIL, Outcome.TRANSIENT),  # "authenticate first" speaks of us, not of the mail
        (552, Phase.RCPT, Outcome.TRANSIENT),  # RFC 5321 section 4.5.3.1.10
        (552, Phase.DOT, Outcome.PERMANENT),
        (451, Phase.DOT, Outcome.TRANSIENT),
        (354, Phase.DOT, Outcome.TRANSIENT),
        (500, Phase.DOT, Outcome.PERMANENT),
    ],
)
def test_a_code_is_judged_by_where_it_came(code: int, phase: Phase, outcome: Outcome) -> None:
    assert judge(code, phase) is outcome


def test_enhanced_code_is_read_from_the_text() -> None:
    assert Reply(550, "5.1.1 nobody").enhanced == "5.1.1"
    assert Reply(550, "nobody 5.1.1").enhanced == ""


def test_a_reply_is_made_harmless_exactly_as_the_log_escapes() -> None:
    """The client may not import audit; its own list of steering characters must stay the same."""
    assert [code for code in range(0x10000) if harmless(chr(code)) != escape(chr(code))] == []
    assert len(harmless("x" * (MAX_TEXT + 1))) == MAX_TEXT
