"""The outbox: drafts, what was sent here, and the page after sending. Shows only what the person wrote himself."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import User
from spool.enums import DeliveryState, Direction
from spool.ids import decode
from spool.models import Delivery, Message
from spool.queue import drafts
from spool.webmail.reader import reader

PAGE = 50


@dataclass(frozen=True)
class Chip:
    """The state of one recipient as mark and word; `said`: the server's own words, shown when they matter."""

    who: str
    address: str
    tint: str  # hold, ok, danger
    icon: str
    word: str
    line: str  # one sentence for the page of one message
    at: datetime | None = None
    said: str = ""


def chip(delivery: Delivery) -> Chip:
    """What became of one recipient so far."""
    name = delivery.mailbox.name if delivery.mailbox else ""
    tint, icon, word, line = _words(delivery)
    said = delivery.last_reply if tint != "ok" else ""
    who = name or delivery.forward_path
    return Chip(who, delivery.forward_path, tint, icon, word, line, delivery.finished_at, said)


def _words(delivery: Delivery) -> tuple[str, str, str, str]:
    inside = delivery.direction == Direction.INBOUND
    state = delivery.state
    if state == DeliveryState.DELIVERED:
        line = _("Colleague: in the normal mailbox") if inside else _("The other server took it")
        return "ok", "check", _("Delivered") if inside else _("Sent"), line
    if state in {DeliveryState.REVIEW, DeliveryState.BOUNCED}:
        return "danger", "warning", _("Refused"), _("Check the address and send again.")
    if state == DeliveryState.EXPIRED:
        return "danger", "warning", _("Given up"), _("The server did not come back in time.")
    if state == DeliveryState.REMOVED:
        return "danger", "warning", _("Withdrawn"), _("Security withdrew it.")
    if delivery.held:
        return "hold", "pause", _("Held by IT"), _("IT holds it for now.")
    if inside and delivery.visible_at:
        return "ok", "check", _("In the inbox here"), _("Colleague: reads it in the inbox here")
    return "hold", "clock", _("Waiting for the server"), _("Sent when the server is back")


@dataclass(frozen=True)
class Row:
    """One message sent here."""

    message: Message
    chips: tuple[Chip, ...]

    @property
    def people(self) -> str:
        names = [one.who for one in self.chips]
        shown = ", ".join(names[:3])
        if len(names) <= 3:
            return shown
        return _("%(names)s and %(count)d more") % {"names": shown, "count": len(names) - 3}

    @property
    def summary(self) -> tuple[Chip, ...]:
        """One chip per different state, the worst first."""
        order = {"danger": 0, "hold": 1, "ok": 2}
        each = {one.word: one for one in self.chips}
        return tuple(sorted(each.values(), key=lambda one: order[one.tint]))

    @property
    def said(self) -> tuple[Chip, ...]:
        return tuple(one for one in self.chips if one.said)

    @property
    def waits(self) -> bool:
        return any(one.tint == "hold" for one in self.chips)

    @property
    def refused(self) -> bool:
        return any(one.tint == "danger" for one in self.chips)


def _mine(user: User) -> QuerySet[Message]:
    recipients = Prefetch("deliveries", Delivery.objects.select_related("mailbox").order_by("pk"))
    return Message.objects.filter(author=user).defer("content").prefetch_related(recipients)


def row(message: Message) -> Row:
    return Row(message, tuple(chip(delivery) for delivery in message.deliveries.all()))


@require_safe
def outbox(request: HttpRequest) -> HttpResponse:
    """Drafts first, then what was sent here, newest first; `?before=` goes on."""
    user = reader(request)
    found = _mine(user).order_by("-pk")
    before = request.GET.get("before", "")
    if before:
        found = found.filter(pk__lt=_key(before))
    page = list(found[: PAGE + 1])
    context = {
        "drafts": [] if before else drafts.kept(user),
        "rows": [row(message) for message in page[:PAGE]],
        "more": page[PAGE - 1].public_id if len(page) > PAGE else "",
        "nav_here": "outbox",
    }
    return render(request, "spool/outbox.html", context)


def _key(text: str) -> int:
    try:
        return decode(text)
    except ValueError:
        raise Http404 from None


@require_safe
def sent(request: HttpRequest, public_id: str) -> HttpResponse:
    """What happened to one message he sent."""
    message = _mine(reader(request)).filter(pk=_key(public_id)).first()
    if message is None:
        raise Http404
    return render(request, "spool/sent.html", {"row": row(message), "message": message, "nav_here": "outbox"})
