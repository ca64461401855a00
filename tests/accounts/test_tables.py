"""CSV files as spreadsheets save them, and the line that is named when one is wrong."""

from io import StringIO

import pytest

from accounts import tables

pytestmark = pytest.mark.pure
COLUMNS = ("email", "name", "role")
ANNE = {"email": "a@example.org", "name": "Anne, of IT", "role": ""}


def read(text: str) -> list[tuple[int, dict[str, str]]]:
    return list(tables.rows(StringIO(text, newline=""), COLUMNS))


@pytest.mark.parametrize(
    "text",
    [
        'name,email\r\n"Anne, of IT",a@example.org\r\n',
        "email;name\r\na@example.org;Anne, of IT\r\n",
        "email;name\ra@example.org;Anne, of IT;;\r",
        'email;name;role\n"a@example.org";"Anne, of IT"',
    ],
)
def test_commas_and_semicolons_are_read(text: str) -> None:
    assert read(text) == [(2, ANNE)]


def test_a_row_has_the_number_of_the_line_it_begins_in() -> None:
    text = 'email;name\n\na@example.org;A\n;\nb@example.org;"two\nlines"\n"c@example.org"\n'
    assert [(number, row["email"][0]) for number, row in read(text)] == [(3, "a"), (5, "b"), (7, "c")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^The first line must name the columns: email, name, role\.$"),
        ("email,role,role\na@example.org,employee,admin\n", "must name each column once"),
        ('email,name\na@example.org,"never closed\n', r"^Line 2: this is no CSV file"),
        ("email\tname\n", "must name the columns"),
        ("email\na@example.org\n\nb@example.org,B\n", r"^Line 4: it has more fields than the first line\.$"),
        ("email\n" + "a" * 200_000, r"^Line 2: this is no CSV file \(.+\)\.$"),
    ],
)
def test_what_is_no_table_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(tables.TableError, match=message):
        read(text)
