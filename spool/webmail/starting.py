"""Pages to write on before their first save: what they start with. Looking at one stores nothing.

The address of a page holds its start, signed: whose page it is, the key its draft will have, what it answers. So
reload, back and a second tab come to the same page, before the first save and after it. Opening a message to answer
it counts as reading it; the signed start is given out only after that is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from audit.tags import Tag
from spool.ids import RANDOM_BITS, decode, encode, new_id
from spool.mime.parse import PartMissingError
from spool.mime.parsed import Part
from spool.models import Draft, DraftAttachment, Mailbox, Message
from spool.queue import content, drafts, parsing
from spool.queue.drafts import DraftMissingError, Fields, Opened
from spool.queue.queries import writing_open
from spool.webmail import access, answer
from spool.webmail.reader import reader

SALT = "start"
NEW = "new"


@dataclass(frozen=True)
class Start:
    """What a page begins with. `message`: the public id of what it answers or passes on; `to`: its first line."""

    key: int
    kind: str = NEW
    message: str = ""
    to: str = ""


def closed(request: HttpRequest) -> HttpResponse:
    return render(request, "spool/writing_closed.html", {"nav_here": "write"})


@require_safe
def compose(request: HttpRequest) -> HttpResponse:
    """An empty page. `?to=` fills the first line."""
    user = reader(request)
    if not writing_open_for(_first_box(user)):
        return closed(request)
    return _to_page(user, Start(new_id(), to=request.GET.get("to", "")[:1000]))


@require_safe
def answer_to(request: HttpRequest, public_id: str, kind: str) -> HttpResponse:
    """A page that answers or passes on a message he may read; one begun before is taken up again."""
    user = reader(request)
    message = access.message(user, public_id)
    if not writing_open_for(_mailbox_for(user, message)):
        return closed(request)
    access.open_message(user, public_id, tag=Tag.MESSAGE_READ, now=timezone.now())
    begun = drafts.answer_to(user, message, kind)
    if begun is not None:
        return HttpResponseRedirect(reverse("spool:draft", args=[begun.draft.public_id]))
    return _to_page(user, Start(new_id(), kind, message.public_id))


def _to_page(user: User, start: Start) -> HttpResponse:
    signed = signing.dumps([user.pk, start.key, start.kind, start.message, start.to], salt=SALT)
    return HttpResponseRedirect(f"{reverse('spool:draft', args=[encode(start.key)])}?{urlencode({'start': signed})}")


def query(request: HttpRequest, opened: Opened) -> str:
    """What the address of the page ends with: its start, as long as there is nothing else that knows it."""
    return "" if opened.stored else "?" + urlencode({"start": request.GET.get("start", "")})


def writing_open_for(box: Mailbox | None) -> bool:
    return box is not None and writing_open(box.domain.route)


def _first_box(user: User) -> Mailbox | None:
    """The first mailbox he may write from now; else the first of all."""
    boxes = list(drafts.senders(user).select_related("domain__route"))
    return next((box for box in boxes if writing_open_for(box)), boxes[0] if boxes else None)


def _mailbox_for(user: User, message: Message) -> Mailbox | None:
    """The mailbox it came to, his own before shared ones; for his own mail the one he wrote it from."""
    came = access.deliveries(user).filter(message=message).order_by("mailbox__kind", "pk")
    wanted = came.values_list("mailbox", flat=True).first() or message.author_mailbox_id or 0
    boxes = drafts.senders(user).select_related("domain__route")
    return boxes.filter(pk=wanted).first() or boxes.first()


def page(request: HttpRequest, user: User, public_id: str) -> Opened:
    """The page of a draft that is not stored. Raises DraftMissingError, DraftError if it would be too long, Http404.

    A page that knew a version had a row once: it was thrown away or sent, and is not begun a second time.
    """
    start = _read(request.GET.get("start", ""), user, public_id)
    if start is None or request.POST.get("version") or drafts.sent(user, public_id) is not None:
        raise DraftMissingError
    try:
        return _begins(user, start)
    except (Http404, content.ContentError):
        if request.method != "POST":
            raise Http404 from None
        # What it answers is not his to read any more; what he wrote is.
        return _begins(user, Start(start.key, to=start.to))


def _begins(user: User, start: Start) -> Opened:
    """Raises DraftMissingError without a mailbox to write from, DraftError, ContentError, Http404."""
    message = access.message(user, start.message) if start.message else None
    box = _first_box(user) if message is None else _mailbox_for(user, message)
    if box is None:
        raise DraftMissingError
    draft = Draft(pk=start.key, user=user, mailbox=box, in_reply_to=message)
    if message is None:
        return Opened(draft, Fields(to=start.to).cleaned(), stored=False)
    parsed = parsing.load(message)
    typed = answer.start(start.kind, parsed, own=answer.own_addresses(user), mailbox=box)
    coming = _files(draft, parsed.attachments) if start.kind == "forward" else ()
    return Opened(draft, typed.cleaned(), stored=False, coming=coming)


def _read(signed: str, user: User, public_id: str) -> Start | None:
    try:
        user_id, key, kind, message, to = signing.loads(signed, salt=SALT)
        wanted = decode(public_id)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return Start(key, kind, message, to) if (user_id, key) == (user.pk, wanted) else None


def _first_key(draft: Draft) -> int:
    """Far from what `new_id` gives out beside the draft's own in the same moment, so that nobody has these."""
    return draft.pk ^ 1 << RANDOM_BITS - 1


def _files(draft: Draft, parts: Sequence[Part]) -> tuple[DraftAttachment, ...]:
    """The files of a forwarded message, as far as they fit.

    The page names them before they are stored: the key of each is made of the draft's and its place in the message.
    """
    found, room = [], drafts.MAX_OCTETS
    for part in parts[: drafts.MAX_FILES]:
        if part.size <= room:
            room -= part.size
            found.append(drafts.describe(part.name, part.declared_type, part.size, key=_first_key(draft) + part.index))
    return tuple(found)


def store(user: User, opened: Opened, typed: Fields, *, mailbox: Mailbox | None, now: datetime, tab: str) -> Opened:
    """The first save of a page: its draft begins. Raises what drafts.begin does."""
    draft = opened.draft
    box = draft.mailbox if mailbox is None else mailbox
    files = _octets(opened)
    return drafts.begin(user, box, typed, now=now, key=draft.pk, parent=draft.in_reply_to, files=files, tab=tab)


def _octets(opened: Opened) -> list[tuple[DraftAttachment, bytes]]:
    """The files that came along; one that cannot be read stays behind."""
    found = []
    for file in opened.coming:
        assert opened.draft.in_reply_to is not None
        try:
            data = parsing.load_part(opened.draft.in_reply_to, file.pk - _first_key(opened.draft))[1]
        except (PartMissingError, content.ContentError):
            continue
        file.size = len(data)
        found.append((file, data))
    return found
