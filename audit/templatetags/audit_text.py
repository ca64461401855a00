"""Filters of the audit pages: numbers with separators, and text of strangers with control characters visible."""

from django import template
from django.utils.formats import number_format

from audit.escape import escape

register = template.Library()


@register.filter
def thousands(number: int | None) -> str:
    """`1,234`, with the separator of the reader's language."""
    return "" if number is None else str(number_format(number, force_grouping=True))


@register.filter
def visible(text: str) -> str:
    """`text` with characters that steer a line written as \\uXXXX; the template still escapes it for HTML."""
    return escape(str(text))
