"""The lines of the emergency inbox: one per message, newest first, by keyset pages.

A message that came to several mailboxes of one person is one line in the lists of all his mail, and one in the list
of each shared mailbox; it leaves when its last delivery to these mailboxes went home.
Reads envelope and list columns and the sealed snippet, never a content column, and asks a fixed number of
queries whatever the length of the page.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL

from accounts.crypto import DecryptionError, decrypt_content, unwrap_content_key
from accounts.models import User
from spool.enums import UNFINISHED, DeliveryState, MailboxKind, ParseState
from spool.ids import decode, encode
from spool.models import Delivery, Mailbox, Message
from spool.webmail import access
from spool.webmail.suspicion import Surroundings, Warning_, judge

PAGE = 40  # lines
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEAVING = timedelta(seconds=6)  # how long a delivered line is still shown

_UNTOUCHED = Q(mark__archived=False, mark__trashed=False, mark__junk=False)
FOLDERS: dict[str, Q] = {
    "inbox": Q(mark__id__isnull=True) | _UNTOUCHED,
    "starred": Q(mark__starred=True, mark__trashed=False),
    "archive": Q(mark__archived=True, mark__trashed=False, mark__junk=False),
    "junk": Q(mark__junk=True, mark__trashed=False),
    "trash": Q(mark__trashed=True),
}
_COLUMNS = (
    "id", "visible_at", "finished_at", "state", "message_id", "message__subject", "message__from_name",
    "message__from_address", "message__snippet", "message__content_key", "message__attachment_count",
    "message__parse_state", "message__reverse_path", "message__author_id",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of the list. `warning` is None for mail that looks as it should."""

    public_id: str
    at: datetime
    sender: str
    subject: str
    snippet: str
    files: int
    unread: bool
    starred: bool
    mailboxes: tuple[str, ...]  # names of the shared mailboxes of this list that it waits in
    answered_at: datetime | None = None
    warning: Warning_ | None = None
    delivered_at: datetime | None = None  # set: the line is leaving
    unreadable: bool = False
    position: str = ""  # cursor of the next page, after this line

    @property
    def leaving(self) -> bool:
        return self.delivered_at is not None


@dataclass(frozen=True)
class Page:
    lines: tuple[Line, ...]
    more: str = ""  # cursor of the next page; empty at the end


class CursorError(ValueError):
    """A cursor that no page of ours gave out."""


def _of(user: User) -> QuerySet[Delivery]:
    return access.deliveries(user).annotate(
        mark=FilteredRelation("message__overlays", condition=Q(message__overlays__user=user))
    )


def _visible(user: User, folder: str, box: Mailbox | None) -> QuerySet[Delivery]:
    found = _of(user)
    if box is not None:
        found = found.filter(mailbox=box)
    return found.filter(FOLDERS[folder])


def _boxes(user: User, box: Mailbox | None) -> frozenset[int]:
    """The mailboxes that a list is of."""
    return access.mailbox_keys(user) if box is None else frozenset({box.pk})


def _seen_in(boxes: frozenset[int], states: Sequence[str]) -> QuerySet[Delivery]:
    return Delivery.objects.filter(mailbox__in=boxes, state__in=states, visible_at__isnull=False)


def _of_line(boxes: frozenset[int], states: Sequence[str]) -> QuerySet[Delivery]:
    """The deliveries in these states that share a line with the one looked at."""
    return _seen_in(boxes, states).filter(message=OuterRef("message"))


def _first_of_line(others: QuerySet[Delivery]) -> Exists:
    """Whether a later delivery of `others` stands for the line."""
    return Exists(
        others.filter(
            Q(visible_at__gt=OuterRef("visible_at")) | Q(visible_at=OuterRef("visible_at"), pk__gt=OuterRef("pk"))
        )
    )


def page(user: User, *, folder: str = "inbox", box: Mailbox | None = None, after: str = "", size: int = PAGE) -> Page:
    """One page of lines. Raises CursorError when `after` is not a cursor."""
    return _page(user, _visible(user, folder, box), boxes=_boxes(user, box), after=after, size=size)


def found(user: User, matching: RawSQL, *, after: str = "", size: int = PAGE) -> Page:
    """One page of lines of any folder whose messages `matching` (a subquery of ids) names. Raises CursorError."""
    return _page(user, _of(user).filter(message__in=matching), boxes=_boxes(user, None), after=after, size=size)


def _page(user: User, found: QuerySet[Delivery], *, boxes: frozenset[int], after: str, size: int) -> Page:
    found = found.filter(state__in=UNFINISHED).exclude(_first_of_line(_of_line(boxes, UNFINISHED)))
    if after:
        at, key = _read_cursor(after)
        found = found.filter(Q(visible_at__lt=at) | Q(visible_at=at, pk__lt=key))
    rows = list(_rows(found.order_by("-visible_at", "-id"))[: size + 1])
    lines = _lines(user, rows[:size], _shared(boxes, {row["message_id"] for row in rows[:size]}))
    return Page(lines, lines[-1].position if len(rows) > size else "")


def leaving(user: User, *, now: datetime, folder: str = "inbox", box: Mailbox | None = None) -> tuple[Line, ...]:
    """Lines whose last delivery went home within LEAVING: shown once more, with the time."""
    just_now = just_delivered(now)
    if not access.deliveries(user).filter(just_now).exists():  # nearly always: spare the rest
        return ()
    boxes = _boxes(user, box)
    going = _of_line(boxes, (DeliveryState.DELIVERED,)).filter(just_now)
    found = _visible(user, folder, box).filter(just_now).exclude(Exists(_of_line(boxes, UNFINISHED)))
    rows = _rows(found.exclude(_first_of_line(going)).order_by("-visible_at", "-id"))[:PAGE]
    return tuple(replace(line, unread=False) for line in _lines(user, list(rows), {}))


def just_delivered(now: datetime) -> Q:
    """Of deliveries: those that went home within LEAVING."""
    return Q(state=DeliveryState.DELIVERED, finished_at__gt=now - LEAVING)


def merge(staying: Iterable[Line], going: Iterable[Line]) -> tuple[Line, ...]:
    """Both kinds of lines in the order of the list, so that a leaving line stays in its place."""
    return tuple(sorted((*staying, *going), key=lambda line: line.at, reverse=True))


def _rows(found: QuerySet[Delivery]) -> QuerySet[Delivery, dict[str, Any]]:
    rows: QuerySet[Delivery, dict[str, Any]] = found.values(
        *_COLUMNS, read_at=F("mark__read_at"), starred=F("mark__starred")
    )
    return rows


def _lines(user: User, rows: list[dict[str, Any]], shared: dict[int, tuple[str, ...]]) -> tuple[Line, ...]:
    """`shared`: per message the names of the shared mailboxes that it waits in."""
    if not rows:
        return ()
    around = Surroundings.load(row["message__from_name"] for row in rows)
    answered = _answered(user, {row["message_id"] for row in rows})
    return tuple(_line(row, around, answered, shared) for row in rows)


def _shared(boxes: frozenset[int], keys: set[int]) -> dict[int, tuple[str, ...]]:
    """Per message the names of the shared ones among these mailboxes that it waits in."""
    waits = _seen_in(boxes, UNFINISHED).filter(message__in=keys, mailbox__kind=MailboxKind.SHARED)
    found: dict[int, tuple[str, ...]] = {}
    columns = ("message_id", "mailbox__name", "mailbox__address")
    for row in waits.values(*columns).distinct().order_by(*columns):
        key = row["message_id"]
        found[key] = (*found.get(key, ()), row["mailbox__name"] or row["mailbox__address"])
    return found


def _answered(user: User, keys: set[int]) -> dict[int, datetime]:
    mine = Message.objects.filter(in_reply_to__in=keys, author=user).order_by("accepted_at")
    return dict(mine.values_list("in_reply_to_id", "accepted_at"))


def _line(
    row: dict[str, Any], around: Surroundings, answered: dict[int, datetime], shared: dict[int, tuple[str, ...]]
) -> Line:
    key, at = row["message_id"], row["visible_at"]
    address = row["message__from_address"] or row["message__reverse_path"]
    return Line(
        public_id=encode(key),
        at=at,
        sender=row["message__from_name"] or address,
        subject=row["message__subject"],
        snippet=open_snippet(key, row["message__content_key"], row["message__snippet"]),
        files=row["message__attachment_count"],
        unread=row["read_at"] is None,
        starred=bool(row["starred"]),
        mailboxes=shared.get(key, ()),
        answered_at=answered.get(key),
        warning=None if row["message__author_id"] else judge(row["message__from_name"], address, around=around),
        delivered_at=row["finished_at"],
        unreadable=row["message__parse_state"] == ParseState.FAILED,
        position=_cursor(at, row["id"]),
    )


def open_snippet(key: int, wrapped: bytes | None, sealed: bytes | None) -> str:
    """The first words of a message; empty while nobody read it, and when its key is gone."""
    if wrapped is None or sealed is None:
        return ""
    try:
        return decrypt_content(unwrap_content_key(wrapped, key), sealed, "snippet").decode("utf-8", "replace")
    except DecryptionError:
        return ""


def _cursor(at: datetime, key: int) -> str:
    return f"{(at - EPOCH) // timedelta(microseconds=1):x}-{encode(key)}"


def _read_cursor(text: str) -> tuple[datetime, int]:
    moment, _, key = text.partition("-")
    try:
        return EPOCH + timedelta(microseconds=int(moment, 16)), decode(key)
    except (ValueError, OverflowError):
        raise CursorError(text) from None
