"""Filters of the spool's pages: ids as people see them, file marks, quoted text. Touches no database."""

import re

from django import template

from spool.ids import encode

register = template.Library()
QUOTE = re.compile(r"^> ?", re.M)


@register.filter
def public(key: int) -> str:
    """The 13 characters of an id."""
    return encode(key)


@register.filter
def file_mark(name: str) -> str:
    """`PDF` for `order.pdf`, for the small tile beside a file's name."""
    end = name.rpartition(".")[2] if "." in name else ""
    return end.upper()[:4] if end.isascii() and end.isalnum() else "FILE"


@register.filter
def unquoted(text: str) -> str:
    """A quote without its first level of marks: the page draws a line beside it instead."""
    return QUOTE.sub("", text)
