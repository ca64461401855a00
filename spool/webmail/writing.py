"""The page to write on and the draft behind it: save, files, send. Works without a script.

Every page has an address of its own, so that reload, back and a second tab come to the same words, and the same
draft is sent once. Its draft begins with the first save; what the page starts with is spool.webmail.starting's
business, what may be sent that of spool.queue.submit.
"""

import secrets
from dataclasses import replace
from typing import Any

from django.contrib import messages as notes
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import User
from spool.models import Mailbox
from spool.queue import drafts, submit
from spool.queue.drafts import DraftConflictError, DraftError, DraftMissingError, Fields, Opened
from spool.queue.queries import writing_open
from spool.queue.recipients import Plan, Problem
from spool.webmail import starting
from spool.webmail.reader import reader

LINES = ("to", "cc", "bcc", "subject", "body")
SHOWN = 8  # recipients in the panel before "and 3 more"


def _opened(request: HttpRequest, user: User, public_id: str) -> Opened:
    """The draft, or the page that will be one. Raises DraftMissingError, DraftError, Http404."""
    try:
        return drafts.get(user, public_id)
    except DraftMissingError:
        return starting.page(request, user, public_id)


def _page(request: HttpRequest, opened: Opened, name: str = "draft") -> str:
    return reverse(f"spool:{name}", args=[opened.draft.public_id]) + starting.query(request, opened)


def _gone(user: User, public_id: str) -> str:
    """Where a draft that is not there leads: to the message it became, or nowhere."""
    if drafts.sent(user, public_id) is None:
        raise Http404
    return reverse("spool:sent", args=[public_id])


def _typed(request: HttpRequest, before: Fields) -> Fields:
    values = {name: request.POST.get(name, "") for name in LINES}
    with_quote = "with_quote" in request.POST if before.quote else before.with_quote
    return replace(before, with_quote=with_quote, **values)


@require_http_methods(["GET", "HEAD", "POST"])
def draft(request: HttpRequest, public_id: str) -> HttpResponse:
    """The page of one draft; its buttons post here with `act`: save, attach, remove:…, discard, send."""
    user = reader(request)
    try:
        opened = _opened(request, user, public_id)
        return _draft(request, user, opened)
    except DraftMissingError:  # also when another press sent it a moment ago
        return HttpResponseRedirect(_gone(user, public_id))
    except DraftError as error:  # of a message too long to be quoted
        notes.error(request, str(error))
        return HttpResponseRedirect(reverse("spool:outbox"))


def _draft(request: HttpRequest, user: User, opened: Opened) -> HttpResponse:
    if request.method != "POST":
        if not opened.stored and not starting.writing_open_for(opened.draft.mailbox):
            return starting.closed(request)
        return _form(request, user, opened)
    act = request.POST.get("act", "save")
    if act == "discard":
        drafts.discard(user, opened.draft, now=timezone.now())
        notes.success(request, _("Draft thrown away."))
        return HttpResponseRedirect(reverse("spool:outbox"))
    typed = _typed(request, opened.fields)
    try:
        opened = _save(request, user, opened, typed)
    except DraftConflictError as conflict:
        mine = Opened(conflict.theirs.draft, typed)
        return _form(request, user, mine, theirs=conflict.theirs.fields, status=409)
    except DraftError as error:
        mine = replace(opened, fields=typed)
        return _form(request, user, mine, problems=(Problem("body", str(error)),), status=422)
    return _act(request, user, opened, act)


def _save(request: HttpRequest, user: User, opened: Opened, typed: Fields) -> Opened:
    mailbox = drafts.sender(user, request.POST["mailbox"]) if request.POST.get("mailbox") else None
    version, tab, now = request.POST.get("version", ""), request.POST.get("tab", ""), timezone.now()
    if opened.stored:
        return drafts.save(user, opened.draft, typed, version=version, now=now, mailbox=mailbox, tab=tab)
    if _untouched(request, opened, typed, mailbox):
        return opened
    return starting.store(user, opened, typed, mailbox=mailbox, now=now, tab=tab)


def _untouched(request: HttpRequest, opened: Opened, typed: Fields, mailbox: Mailbox | None) -> bool:
    """Whether nothing was done on a page that is not stored: then there is nothing to keep either."""
    same = typed.cleaned() == opened.fields and mailbox in {None, opened.draft.mailbox}
    return same and request.POST.get("act", "save") == "save" and not request.FILES


def _act(request: HttpRequest, user: User, opened: Opened, act: str) -> HttpResponse:
    problems = _attach(request, user, opened)
    if act.startswith("remove:"):
        drafts.detach(user, opened.draft, act.removeprefix("remove:"))
    if problems:
        return _form(request, user, opened, problems=problems, status=422)
    if act == "send":
        return _send(request, user, opened)
    return HttpResponseRedirect(_page(request, opened))


def _attach(request: HttpRequest, user: User, opened: Opened) -> tuple[Problem, ...]:
    problems = []
    for file in request.FILES.getlist("files"):
        name, size = file.name or "", file.size or 0
        try:
            if size > drafts.MAX_OCTETS:
                sentence = _("%(name)s was not added: all files together may have 25 MB at most.")
                raise DraftError(sentence % {"name": name})
            drafts.attach(user, opened.draft, name=name, content_type=file.content_type or "", data=file.read())
        except DraftError as error:
            problems.append(Problem("files", str(error)))
    return tuple(problems)


def _send(request: HttpRequest, user: User, opened: Opened) -> HttpResponse:
    public_id = opened.draft.public_id
    try:
        submit.submit(user, public_id, now=timezone.now())
    except submit.WritingClosedError as error:
        return _form(request, user, opened, problems=error.problems, status=409)
    except submit.SubmitError as error:
        return _form(request, user, opened, problems=error.problems, status=422)
    return HttpResponseRedirect(reverse("spool:sent", args=[public_id]))


@require_POST
def save(request: HttpRequest, public_id: str) -> HttpResponse:
    """Autosave: JSON with the new version, the words beside Send, and the panel of recipients."""
    user = reader(request)
    try:
        opened = _opened(request, user, public_id)
        opened = _save(request, user, opened, _typed(request, opened.fields))
    except DraftMissingError:
        return JsonResponse({"sent": _gone(user, public_id)}, status=410)
    except DraftConflictError:
        said = _("Another tab saved other words. Press Save to see both.")
        return JsonResponse({"said": said}, status=409)
    except DraftError as error:
        return JsonResponse({"said": str(error)}, status=422)
    planned = submit.preview(opened.fields, opened.draft.mailbox)
    fate = render_to_string("spool/fate.html", _fate(planned, opened.fields), request=request)
    return JsonResponse({"version": opened.version, "said": _saved(opened), "fate": fate})


def _saved(opened: Opened) -> str:
    """Nothing on a page that is not stored."""
    if not opened.stored:
        return ""
    return _("Draft saved %(time)s") % {"time": f"{timezone.localtime(opened.draft.updated_at):%H:%M}"}


def _fate(planned: Plan, typed: Fields) -> dict[str, Any]:
    """The panel: what will happen to each recipient. Nothing typed yet is no problem yet."""
    started = any((typed.to.strip(), typed.cc.strip(), typed.bcc.strip()))
    everybody = planned.everybody
    return {
        "planned": planned,
        "shown": everybody[:SHOWN],
        "more": max(0, len(everybody) - SHOWN),
        "address_problems": planned.problems if started else (),
        "started": started,
    }


def _form(
    request: HttpRequest,
    user: User,
    opened: Opened,
    *,
    problems: tuple[Problem, ...] = (),
    theirs: Fields | None = None,
    status: int = 200,
) -> HttpResponse:
    box, typed = opened.draft.mailbox, opened.fields
    planned = submit.preview(typed, box)
    context = {
        "opened": opened,
        "page_url": _page(request, opened),
        "save_url": _page(request, opened, "draft-save"),
        "fields": typed,
        "files": opened.files,
        "senders": list(drafts.senders(user)),
        "box": box,
        "open": writing_open(box.domain.route),
        "saved": _saved(opened),
        "tab": request.POST.get("tab") or secrets.token_urlsafe(12),
        "problems": problems,
        "theirs": theirs,
        "more_lines": bool(typed.cc or typed.bcc),
        "nav_here": "write",
        **_fate(planned, typed),
    }
    return render(request, "spool/compose.html", context, status=status)
