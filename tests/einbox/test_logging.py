"""Log lines: one line an event and parseable, whatever strangers put into it (C46)."""

import json
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einbox.logging import JsonFormatter, TextFormatter

pytestmark = pytest.mark.pure

HOSTILE = {
    "ESC": "\x1b[31mred\x1b]0;title\x07",
    "CR": "a\rlevel=critical",
    "LF": '"}\n{"level": "critical", "event": "forged"}',
    "line separator": "a\u2028b\u2029c",
    "bidi": "\u202egnp.exe\u2066\u200f\u061c",
    "NEL and C1": "a\x85b\x9b31m",
    "NUL and DEL": "a\x00b\x7f",
    "surrogate": "a\ud800b",
}
FIELDS = ("helo", "peer", "sender", "recipient", "subject", "message_id", "user_agent", "path", "file_name", "cause")
STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def make_record(text: str) -> logging.LogRecord:
    """A record with `text` in its message, an exception and ten extra fields."""
    try:
        raise ValueError(text)
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    log_record = logging.LogRecord("spool.smtpd", logging.INFO, __file__, 1, "refused %s", (text,), info)
    log_record.__dict__.update(dict.fromkeys(FIELDS, text))
    return log_record


@pytest.mark.parametrize("name", HOSTILE)
def test_a_json_line_is_one_line_and_parses(name: str) -> None:
    line = JsonFormatter().format(make_record(HOSTILE[name]))
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert entry["level"] == "info"
    assert [entry[field] for field in FIELDS] == [HOSTILE[name]] * len(FIELDS)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_line_is_one_line_and_steers_no_terminal(name: str) -> None:
    line = TextFormatter().format(make_record(HOSTILE[name]))
    assert not STEERING.search(line)
    assert line.startswith("info spool.smtpd: refused ")


@given(st.text())
def test_any_text_stays_one_line_in_both_forms(text: str) -> None:
    log_record = make_record(text)
    assert len(TextFormatter().format(log_record).splitlines()) == 1
    assert len(JsonFormatter().format(log_record).splitlines()) == 1
    json.loads(JsonFormatter().format(log_record))


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
@pytest.mark.parametrize(
    "text", ["Forbidden: /account/enrol/{}/", "otpauth://totp/einbox:a%40b.org?secret={}&issuer=x"]
)
def test_what_opens_an_account_is_hidden(formatter: logging.Formatter, text: str) -> None:
    line = formatter.format(make_record(text.format("PLANTED-SECRET_1234")))
    assert "PLANTED" not in line
    assert "[hidden]" in line


REFUSED = (
    'null value in column "size" violates not-null constraint\n'
    "DETAIL:  Failing row contains (1, erika@outside.test, Salary of Anna, \\x00).\nCONTEXT:  more of Salary"
)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_row_that_the_database_quotes_is_in_no_log(formatter: logging.Formatter) -> None:
    try:
        try:
            raise ValueError(REFUSED)
        except ValueError as inner:
            raise RuntimeError("what came of it") from inner
    except RuntimeError as error:
        info = (RuntimeError, error, error.__traceback__)
    record = logging.LogRecord("celery", logging.ERROR, __file__, 1, "raised %r", (ValueError(REFUSED),), info)
    line = formatter.format(record)
    assert "violates not-null constraint" in line
    assert "what came of it" in line
    assert "Salary" not in line
    assert "erika" not in line
