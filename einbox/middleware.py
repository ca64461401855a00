"""Response headers of every page, and the refusal of cross-site writes before any view runs.

Knows no models and no accounts.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseForbidden

from spool.failpoints import failpoint

GetResponse = Callable[[HttpRequest], HttpResponse]

# docs/threat-model.md rows C30, C44; the mail body view sets its own stricter policy.
APP_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; worker-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class ResponseHeadersMiddleware:
    """Adds the policy headers a view did not set itself; pages are never cached unless a view says so."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        failpoint("web.before_response")
        response.headers.setdefault("Content-Security-Policy", APP_CSP)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.headers.setdefault("X-Permitted-Cross-Domain-Policies", "none")
        if not request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class FetchMetadataMiddleware:
    """Refuses unsafe requests that a browser marks as coming from another site (W3C Fetch Metadata)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if request.method not in SAFE_METHODS and site not in {"same-origin", "none"}:
            return HttpResponseForbidden("This form was sent from another site and was refused.\n")
        return self.get_response(request)
