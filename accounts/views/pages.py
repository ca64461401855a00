"""What every page before the inbox shows: where one is, and whom to call."""

import re

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

NUMBER = re.compile(r"\+?[0-9][0-9 ()/.-]{4,}[0-9]")


def help_line(text: str) -> dict[str, str]:
    """A leading telephone number becomes a link: `number` as written, `dial` for the phone, `rest` behind it."""
    found = NUMBER.match(text)
    if found is None:
        return {"number": "", "dial": "", "rest": text}
    number = found[0].strip()
    return {"number": number, "dial": re.sub(r"[^0-9+]", "", number), "rest": text[found.end() :].strip(" ,")}


def render_gate(
    request: HttpRequest, template: str, context: dict[str, object] | None = None, status: int = 200
) -> HttpResponse:
    """One page of log-in or enrolment."""
    host = settings.PUBLIC_HOST
    shared: dict[str, object] = {
        "place": host,
        "entry": f"{settings.OTP_TOTP_ISSUER} {host}",
        "help_line": help_line(settings.HELP_LINE) if settings.HELP_LINE else None,
    }
    return render(request, template, {**shared, **(context or {})}, status=status)
