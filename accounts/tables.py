"""Rows of a CSV file, as spreadsheets save it: separated by commas, or by semicolons where the comma is for decimals.

Pure: knows no model. A file that is no such table is a TableError before anything is made of the row.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from django.utils.translation import gettext as _


class TableError(ValueError):
    """The file is no table of these columns; the text is a sentence, with the line that is wrong."""


@contextmanager
def at_line(number: int, failure: type[Exception]) -> Iterator[None]:
    """Have a `failure` within the block say in which line it was."""
    try:
        yield
    except failure as error:
        raise failure(_("Line %(number)d: %(why)s") % {"number": number, "why": error}) from error


def rows(lines: Iterable[str], columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with the line it begins in; fields that are missing are "". The first of `columns` must be there.

    Raises TableError.
    """
    lines = iter(lines)
    first = next(lines, "")
    delimiter = ";" if ";" in first else ","  # in names there is neither
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    try:
        names = next(reader, [])
        if columns[0] not in names or not set(names) <= set(columns):
            known = {"columns": ", ".join(columns)}
            raise TableError(_("The first line must name the columns: %(columns)s.") % known)
        if len(set(names)) < len(names):
            raise TableError(_("The first line must name each column once."))
        begins = reader.line_num + 1
        for fields in reader:
            if any(fields[len(names) :]):
                raise TableError(_("Line %(number)d: it has more fields than the first line.") % {"number": begins})
            if any(fields):  # an empty row of a spreadsheet is nobody
                yield begins, dict.fromkeys(columns, "") | dict(zip(names, fields, strict=False))
            begins = reader.line_num + 1
    except csv.Error as error:
        words = {"number": reader.line_num, "why": error}
        raise TableError(_("Line %(number)d: this is no CSV file (%(why)s).") % words) from error
