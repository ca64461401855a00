"""Binds where a request comes from, for every event recorded during it. First in MIDDLEWARE. No database.

Forwarded headers count only from EINBOX_TRUSTED_PROXIES; from anybody else they are removed, so that nothing
further in can believe them. request.is_secure() is true behind a trusted proxy that terminates TLS.
"""

import re
import secrets
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from audit.clientip import client_address, is_https, is_trusted, parse_hop
from audit.context import ANONYMOUS, Context, bound
from audit.escape import escape, storable

GetResponse = Callable[[HttpRequest], HttpResponse]

MAX_USER_AGENT = 255  # characters, the column's width
REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,32}")
FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_SSL",
    "HTTP_X_REQUEST_ID",
    "HTTP_FORWARDED",
)


class AuditContextMiddleware:
    """Sets `request.audit_ip` and the audit context; the actor follows in accounts.middleware."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        context = self.read(request)
        request.audit_ip = context.ip  # type: ignore[attr-defined]
        with bound(context):
            response = self.get_response(request)
        response.headers.setdefault("X-Request-ID", context.request_id)
        return response

    def read(self, request: HttpRequest) -> Context:
        """The context of `request`; also settles its scheme and removes forwarded headers nobody may believe."""
        meta, trusted = request.META, settings.TRUSTED_PROXIES
        peer = str(meta.get("REMOTE_ADDR", ""))
        believed = is_trusted(parse_hop(peer), trusted)
        if not believed:
            for name in FORWARDED:
                meta.pop(name, None)
        elif is_https(peer, str(meta.get("HTTP_X_FORWARDED_PROTO", "")), trusted):
            meta["wsgi.url_scheme"] = "https"
        given_id = str(meta.get("HTTP_X_REQUEST_ID", ""))
        return Context(
            actor=ANONYMOUS,
            ip=client_address(peer, str(meta.get("HTTP_X_FORWARDED_FOR", "")), trusted),
            user_agent=escape(storable(str(meta.get("HTTP_USER_AGENT", ""))))[:MAX_USER_AGENT],
            request_id=given_id if REQUEST_ID.fullmatch(given_id) else secrets.token_hex(8),
        )
