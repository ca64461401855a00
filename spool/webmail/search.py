"""Looking for mail: one page of lines of the reader's own mailboxes. The words looked for are never recorded."""

from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import User
from audit.record import Target, record
from audit.tags import Tag
from spool.enums import UNFINISHED, ParseState
from spool.mime.terms import MAX_QUESTION, Phrase, TooLongError, question
from spool.queue import searchindex
from spool.webmail import access, listing
from spool.webmail.reader import reader

PAGE = 50  # lines


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """`/search?q=`: words that a message must all hold, newest first."""
    user = reader(request)
    asked = request.GET.get("q", "").strip("\x00")
    context: dict[str, Any] = {"asked": asked[:MAX_QUESTION], "nav_here": "search", "lines": (), "more": ""}
    try:
        phrases = question(asked)
    except TooLongError:
        context["problem"] = _("That is more than can be looked for at once")
    else:
        if phrases:
            context |= _found(user, phrases, after=request.GET.get("after", ""))
    return render(request, "spool/search.html", context)


def _found(user: User, phrases: list[Phrase], *, after: str) -> dict[str, Any]:
    with transaction.atomic():
        try:
            page = listing.found(user, searchindex.matching(phrases), after=after, size=PAGE)
        except listing.CursorError:
            raise Http404 from None
        record(Tag.MAIL_SEARCHED, target=Target("inbox", str(user.pk)), detail={"count": len(page.lines)})
    return {"looked": True, "lines": page.lines, "more": page.more, "unread_yet": _unread_yet(user)}


def _unread_yet(user: User) -> bool:
    """Whether mail of his has not been read by ingestion yet, and so cannot be found."""
    waiting = access.deliveries(user).filter(state__in=UNFINISHED, message__parse_state=ParseState.PENDING)
    return waiting.exists()
