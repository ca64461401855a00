"""The inbox, its folders and the live list. Views: who may see what is spool.webmail.access' business."""

from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import User
from audit.record import Target, record
from audit.tags import Tag
from spool.models import Mailbox
from spool.webmail import access, listing, places, readiness, version
from spool.webmail.context import counts, status_line
from spool.webmail.places import Counts
from spool.webmail.reader import reader

MAX_KEY = 2**63  # a larger number is no key of any database
SIZES = ("full", "pane", "line")  # of the status line; it is sent along with a changed list


def _title(folder: str, box: Mailbox | None) -> str:
    if box is not None:
        return box.name or box.address
    return next((place.label for place in places.folders() if place.name == folder), _("Inbox"))


def list_context(
    counted: Counts, *, folder: str = "inbox", box: Mailbox | None = None, after: str = ""
) -> dict[str, Any]:
    """What the list of a page needs; the same for the inbox, the live answer and the page of one message."""
    user, now = counted.user, timezone.now()
    try:
        page = listing.page(user, folder=folder, box=box, after=after)
    except listing.CursorError:
        raise Http404 from None
    going = () if after else listing.leaving(user, now=now, folder=folder, box=box)
    lines = listing.merge(page.lines, going)
    return {
        "folder": folder,
        "box": box,
        "after": after,
        "lines": lines,
        "more": page.more,
        "left": len(page.lines),
        "unread": _unread(counted, folder=folder, box=box, page=page),
        "list_title": _title(folder, box),
        "nav_here": f"box-{box.pk}" if box else folder,
    }


def _unread(counted: Counts, *, folder: str, box: Mailbox | None, page: listing.Page) -> int:
    """Of the whole inbox or mailbox, as the side nav says it; of the page in a folder, which has no such count."""
    if folder != "inbox":
        return sum(line.unread for line in page.lines)
    return counted.unread.get(box.pk, 0) if box else counted.unread_in_all


@require_safe
def inbox(request: HttpRequest, folder: str = "inbox", box_id: int | None = None) -> HttpResponse:
    """A list of mail: `/`, a folder, or one shared mailbox."""
    user = reader(request)
    box = _box(user, box_id)
    after = request.GET.get("after", "")
    status, counted = status_line(request), counts(request, user)
    # The tag before the list: what comes in between is then sent again, not passed over.
    tag = version.of_list(counted, folder=folder, box=box, status=status, now=timezone.now())
    with transaction.atomic():
        context = list_context(counted, folder=folder, box=box, after=after) | {"etag": tag}
        detail = {"mailbox": box.address if box else folder, "count": len(context["lines"])}
        record(Tag.INBOX_LISTED, target=Target("inbox", str(box.pk if box else user.pk)), detail=detail)
    whole = folder == "inbox" and not after
    if whole and box is None and not context["lines"] and status.mark == "healthy":
        context["ready"] = readiness.of(user)
    context["status_size"] = "full" if whole and "ready" not in context else "line"
    return render(request, "spool/inbox.html", context)


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """The list again if it changed, 304 if not: asked every two seconds by an open page."""
    user = reader(request)
    folder = request.GET.get("folder", "inbox")
    if folder not in listing.FOLDERS:
        raise Http404
    box = _box(user, _number(request.GET.get("box", "")))
    counted = counts(request, user)
    tag = version.of_list(counted, folder=folder, box=box, status=status_line(request), now=timezone.now())
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified(headers={"ETag": tag})
    size = request.GET.get("status", "")
    context = list_context(counted, folder=folder, box=box) | {
        "etag": tag,
        "status_size": size if size in SIZES else "",
    }
    response = render(request, "spool/live_answer.html", context)
    response.headers["ETag"] = tag
    return response


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Http404
    return int(text)


def _box(user: User, box_id: int | None) -> Mailbox | None:
    if box_id is None:
        return None
    found = access.mailboxes(user).filter(pk=box_id).first() if box_id < MAX_KEY else None
    if found is None:
        raise Http404
    return found
