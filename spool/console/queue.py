"""The queue as envelopes: who to whom, subject, size, state, age, last reply. Never a body (no content is read).

Filters and orders come from closed lists; what a browser sends is only ever a key into them.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from spool.enums import UNFINISHED, DeliveryState, Direction
from spool.ids import decode
from spool.models import Delivery, Route
from spool.queue.expiry import EXPIRES_SOON

PAGE = 50

FILTERS: dict[str, Q] = {
    "held": Q(state__in=UNFINISHED),
    "review": Q(state=DeliveryState.REVIEW),
    "soon": EXPIRES_SOON,
    "delivered": Q(state=DeliveryState.DELIVERED),
    "outgoing": Q(direction=Direction.OUTBOUND, state__in=UNFINISHED),
    "ended": Q(state__in=(DeliveryState.BOUNCED, DeliveryState.EXPIRED, DeliveryState.REMOVED)),
}
LABELS = {
    "held": _("Held"),
    "review": _("Review"),
    "soon": _("Expires soon"),
    "delivered": _("Delivered"),
    "outgoing": _("Outgoing"),
    "ended": _("Not delivered"),
}
ORDERS = {"oldest": ("pk", "pk__gt"), "newest": ("-pk", "pk__lt")}
# Only what an envelope list needs leaves the database.
COLUMNS = (
    "expires_at",
    "warned",
    "message__subject",
    "message__from_address",
    "message__reverse_path",
    "message__size",
)


class QueueError(ValueError):
    """A filter, order or cursor that no page of ours gave out."""


@dataclass(frozen=True)
class Line:
    """One delivery as an admin may see it."""

    public_id: str
    state: str
    word: str
    tint: str
    icon: str
    sender: str
    to: str
    subject: str
    size: int
    created_at: datetime
    expires_at: datetime | None  # only after a warning
    finished_at: datetime | None
    reply: str
    refused: bool


@dataclass(frozen=True)
class Page:
    lines: tuple[Line, ...]
    more: str = ""


@dataclass(frozen=True)
class Tab:
    """One filter with its count."""

    key: str
    label: str
    count: int


LOOKS = {
    DeliveryState.QUEUED: ("hold", "clock"),
    DeliveryState.LEASED: ("accent", "play"),
    DeliveryState.REVIEW: ("danger", "eye"),
    DeliveryState.DELIVERED: ("ok", "check"),
}


def tabs(route: Route | None) -> tuple[Tab, ...]:
    """Every filter with its count, in one query."""
    rows = _of(route)
    counts = rows.aggregate(**{key: Count("pk", filter=condition) for key, condition in FILTERS.items()})
    return tuple(Tab(key, str(LABELS[key]), counts[key]) for key in FILTERS)


def _of(route: Route | None) -> QuerySet[Delivery]:
    """Of one route, or of all but those of drills, whose mail is nobody's."""
    return Delivery.objects.filter(route=route) if route else Delivery.objects.exclude(route__domains__is_drill=True)


def page(route: Route | None, *, show: str = "held", order: str = "oldest", after: str = "", size: int = PAGE) -> Page:
    """One page of the queue. Raises QueueError."""
    if show not in FILTERS or order not in ORDERS:
        raise QueueError(show)
    column, beyond = ORDERS[order]
    rows = _of(route).filter(FILTERS[show])
    if after:
        try:
            rows = rows.filter(**{beyond: decode(after)})
        except ValueError:
            raise QueueError(after) from None
    fields = ("pk", "state", "held", "forward_path", "created_at", "finished_at", "last_code", "last_reply")
    found = list(rows.order_by(column).select_related("message").only(*fields, *COLUMNS)[: size + 1])
    lines = tuple(_line(one) for one in found[:size])
    return Page(lines, lines[-1].public_id if len(found) > size else "")


def _line(one: Delivery) -> Line:
    tint, icon = LOOKS.get(DeliveryState(one.state), ("danger", "close"))
    word = str(DeliveryState(one.state).label)
    if one.held and one.state == DeliveryState.QUEUED:
        word, icon = str(_("On hold")), "pause"
    message = one.message
    return Line(
        public_id=one.public_id,
        state=one.state,
        word=word,
        tint=tint,
        icon=icon,
        sender=message.from_address or message.reverse_path,
        to=one.forward_path,
        subject=message.subject,
        size=message.size,
        created_at=one.created_at,
        expires_at=one.expires_at if one.warned else None,
        finished_at=one.finished_at,
        reply=one.last_reply,
        refused=bool(one.last_code and one.last_code >= 500),
    )
