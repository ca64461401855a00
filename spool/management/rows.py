"""How commands print what they found: rows as JSON, or one `name=value` line each. Knows no model."""

import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import OutputWrapper

from audit.escape import escape

Row = dict[str, Any]


def line(row: Row) -> str:
    """One line; what is empty is left out, and what strangers or people wrote steers no terminal."""
    return escape("  ".join(f"{name}={_words(value)}" for name, value in row.items() if value not in ("", None, [])))


def _words(value: Any) -> str:
    """As people read it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(str(each) for each in value)
    return str(value)


def print_rows(out: OutputWrapper, rows: Sequence[Row], *, as_json: bool) -> None:
    """Times become text in JSON too."""
    if as_json:
        out.write(json.dumps(rows, default=str))
        return
    for row in rows:
        out.write(line(row))
