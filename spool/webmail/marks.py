"""What a reader does to a message: read, starred, archived, trashed, junk. An overlay, never the delivery (rule 2)."""

from datetime import datetime

from django.contrib import messages as notes
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from accounts.models import User
from audit.record import Target, record
from audit.tags import Tag
from spool.models import Message, Overlay
from spool.webmail import access
from spool.webmail.reader import reader

MARKS = ("read", "starred", "archived", "trashed", "junk")
DONE = {
    ("archived", True): gettext_lazy("Archived here. It is delivered all the same."),
    ("trashed", True): gettext_lazy("In the trash here. It is delivered all the same."),
    ("junk", True): gettext_lazy("Marked as junk here. It is delivered all the same."),
}


def set_mark(user: User, message: Message, mark: str, value: bool, *, now: datetime) -> bool:
    """Set one mark inside the caller's transaction and record it. Returns whether anything changed."""
    row, made = Overlay.objects.get_or_create(user=user, message=message)
    field, wanted = ("read_at", now if value else None) if mark == "read" else (mark, value)
    if bool(getattr(row, field)) == value and not (made and value):
        return False
    setattr(row, field, wanted)
    row.save(update_fields=[field])
    detail = {"mailbox": access.mailbox_label(user, message), "mark": mark, "value": value}
    record(Tag.MESSAGE_MARKED, target=Target("message", message.public_id), detail=detail, at=now)
    return True


@require_POST
def mark(request: HttpRequest, public_id: str) -> HttpResponse:
    """POST `mark` and `value` (1 or 0); back to `next`."""
    name, value = request.POST.get("mark", ""), request.POST.get("value", "1") == "1"
    if name not in MARKS:
        raise Http404
    user = reader(request)
    with transaction.atomic():
        set_mark(user, access.message(user, public_id), name, value, now=timezone.now())
    if said := DONE.get((name, value)):
        notes.success(request, str(said))
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        target = "/"
    return HttpResponseRedirect(target)
