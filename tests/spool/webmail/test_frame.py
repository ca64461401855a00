"""The frame of a body is tall enough for what the HTML shows, whatever its plain text says, and the guess is cheap."""

import time

import pytest

from spool.webmail import frame

pytestmark = pytest.mark.pure

QUOTE = (
    "<html><head><style>p { color: red }</style></head><body><h2>Quote 4411</h2><p>Dear Mara,</p><p>our offer:</p>"
    "<table><tr><th>Item</th><th>Price</th></tr><tr><td>Ramp</td><td>8,400</td></tr><tr><td>Installation</td>"
    "<td>1,950</td></tr></table><p>Until Friday.</p><p>Ruben<br>Nordwall</p></body></html>"
)


def test_html_is_measured_by_itself_not_by_its_short_plain_text() -> None:
    found = frame.height("Quote 4411.", QUOTE)
    # A browser draws it about 390 px high.
    assert 390 <= found.wide <= 520
    assert found.narrow >= found.wide


def test_styles_and_titles_take_no_room() -> None:
    style = "<style>" + "p { margin: 0 } " * 500 + "</style>"
    assert frame.height("", f"{style}<p>One line</p>") == frame.height("", "<p>One line</p>")


def test_longer_lines_need_more_room_on_a_phone() -> None:
    found = frame.height("", f"<p>{'word ' * 200}</p>")
    assert found.narrow > found.wide * 1.5


def test_quoted_lines_of_plain_text_are_folded_away() -> None:
    assert frame.height("Yes.\n" + "> before\n" * 40) == frame.height("Yes.\n")


def test_broken_html_is_measured_in_no_time() -> None:
    start = time.perf_counter()
    for hostile in ("<a" * 200_000, "<style>" * 60_000, "<p <p <" * 60_000, "</style" * 60_000):
        assert frame.height("", hostile).wide <= frame.TALLEST
    assert time.perf_counter() - start < 5
