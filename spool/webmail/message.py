"""The page of one message and what hangs on it: body, attachments, original, headers, story. Views only.

Every answer that holds content comes from access.open_message, so its event is committed before it leaves.
"""

from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import User
from audit.tags import Tag
from spool.mime.filetypes import safe_name
from spool.mime.parse import PartMissingError
from spool.models import Message
from spool.queue import content, parsing
from spool.webmail import access, files, inbox, letter, story, version
from spool.webmail.context import counts, status_line
from spool.webmail.reader import reader

# docs/threat-model.md rows C30 to C32: the body is a page without scripts, without an origin, without a network.
BODY_CSP = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
FILE_CSP = "sandbox; default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
OPENING_AGE = 120  # seconds: the body that belongs to a page just opened is not a second reading
SALT = "opening"
DARK = {"dark": True, "light": False}  # neither: as the system
HEADERS_SHOWN = 256 * 1024  # octets


@require_safe
def show(request: HttpRequest, public_id: str) -> HttpResponse:
    """The page: our own header, warnings, attachments, a frame for the body, the story."""
    user = reader(request)
    message = access.open_message(user, public_id, tag=Tag.MESSAGE_READ, now=timezone.now())
    opened = letter.of(user, message)
    counted = counts(request, user)
    tag = version.of_list(counted, folder="inbox", box=None, status=status_line(request), now=timezone.now())
    context = inbox.list_context(counted) | {
        "etag": tag,
        "letter": opened,
        "status_size": "pane",
        "message": message,
        "opening": signing.dumps([user.pk, message.pk], salt=SALT, compress=False),
        "nav_here": "outbox" if message.author_id == user.pk and opened.box is None else "inbox",
    }
    return render(request, "spool/message.html", context)


def _opened_by_page(request: HttpRequest, user: User, public_id: str) -> Message | None:
    """The message if this request belongs to a page that recorded the reading a moment ago."""
    try:
        user_id, key = signing.loads(request.GET.get("opening", ""), salt=SALT, max_age=OPENING_AGE)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    found = access.message(user, public_id)
    return found if (user_id, key) == (user.pk, found.pk) else None


@require_safe
def body(request: HttpRequest, public_id: str) -> HttpResponse:
    """The body, sanitised, as a document of its own in a sandbox."""
    user = reader(request)
    found = _opened_by_page(request, user, public_id)
    if found is None:
        found = access.open_message(user, public_id, tag=Tag.MESSAGE_READ, now=timezone.now())
    try:
        document = parsing.body_html(found, dark=DARK.get(request.COOKIES.get("einbox_theme", "")))
    except content.ContentError:
        raise Http404 from None
    response = _guarded(HttpResponse(document), BODY_CSP)
    response.headers["X-Frame-Options"] = "SAMEORIGIN"  # for browsers without frame-ancestors
    return response


def _guarded(response: HttpResponse, policy: str) -> HttpResponse:
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["X-DNS-Prefetch-Control"] = "off"
    response.headers["Cache-Control"] = "no-store"
    return response


def _download(data: bytes, name: str, kind: str) -> HttpResponse:
    response = HttpResponse(data, content_type=kind)
    response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return _guarded(response, FILE_CSP)


def _tile(message: Message, index: int) -> files.File:
    try:
        listed = {one.index: one for one in parsing.load(message).parts}
    except content.ContentError:
        raise Http404 from None
    if index not in listed:
        raise Http404
    return files.describe(listed[index])


@require_http_methods(["GET", "HEAD", "POST"])
def part(request: HttpRequest, public_id: str, index: int) -> HttpResponse:
    """One attachment. A dangerous one answers a GET with a page that says so, and its POST with the file."""
    user = reader(request)
    message = access.message(user, public_id)
    file = _tile(message, index)
    if file.danger and request.method != "POST":
        return render(request, "spool/danger.html", {"message": message, "file": file, "nav_here": "inbox"})
    try:
        found, data = parsing.load_part(message, index)
    except (PartMissingError, content.ContentError):
        raise Http404 from None
    kind = files.content_type(found)
    access.open_message(
        user, public_id, tag=Tag.ATTACHMENT_DOWNLOADED, now=timezone.now(), size=len(data), type=found.true_type
    )
    return _download(data, found.name, kind)


def _octets(message: Message) -> bytes:
    """The content; Http404 for what was erased or cannot be read."""
    try:
        return content.read(message)
    except content.ContentError:
        raise Http404 from None


@require_safe
def raw(request: HttpRequest, public_id: str) -> HttpResponse:
    """The octets as accepted, as a file."""
    user = reader(request)
    found = access.message(user, public_id)
    data = _octets(found)
    access.open_message(user, public_id, tag=Tag.MESSAGE_DOWNLOADED, now=timezone.now())
    stem = safe_name(found.subject.replace("/", "-")[:80], "message/rfc822", 1) if found.subject else found.public_id
    return _download(data, f"{stem}.eml", "message/rfc822")


@require_safe
def headers(request: HttpRequest, public_id: str) -> HttpResponse:
    """All headers as they came, undecoded."""
    user = reader(request)
    found = access.message(user, public_id)
    data = _octets(found)[:HEADERS_SHOWN]
    access.open_message(user, public_id, tag=Tag.MESSAGE_READ, now=timezone.now())
    block = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("utf-8", "replace")
    return render(request, "spool/headers.html", {"message": found, "block": block, "nav_here": "inbox"})


@require_safe
def where(request: HttpRequest, public_id: str) -> HttpResponse:
    """Where is this mail? on a page of its own, for links from elsewhere."""
    user = reader(request)
    found = access.message(user, public_id)
    return render(
        request, "spool/story.html", {"message": found, "steps": story.tell(user, found), "nav_here": "inbox"}
    )


@require_safe
def band(request: HttpRequest, public_id: str) -> HttpResponse:
    """Asked by an open page: 204 while the message is here, the band once it went home."""
    user = reader(request)
    found = access.message(user, public_id)
    at = None if found.author_id == user.pk else story.cleared_at(story.deliveries_for(user, found))
    if at is None:
        return HttpResponse(status=204)
    return render(request, "spool/band.html", {"cleared_at": at})
