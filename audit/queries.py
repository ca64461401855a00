"""The read side of the log: pages of events by key, counts by hour, the state of the chain. Writes nothing."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Q, QuerySet
from django.db.models.functions import Left

from audit.models import ChainHead, Event

PAGE = 50
CURSOR = re.compile(r"([0-9]{1,17})-([0-9]{1,18}|[1-8][0-9]{18})")  # microseconds, key below 2^63
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A group is a prefix of tags.
GROUPS = {"people": "account.", "mail": "mail.", "spool": "spool.", "log": "audit.", "system": "system."}
PERIODS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}


class CursorError(ValueError):
    """The place to go on from is not one this module made."""


@dataclass(frozen=True)
class Filter:
    """What the reader asked for; an empty value asks for everything."""

    group: str = ""  # a key of GROUPS
    person: str = ""  # part of a name or address, of who acted or whom it was about
    outcome: str = ""  # "ok", or "other" for everything that was refused or failed
    period: str = ""  # a key of PERIODS

    def query(self, *, now: datetime) -> Q:
        query = Q()
        if self.person:
            query &= Q(actor_label__icontains=self.person) | Q(target_label__icontains=self.person)
        if self.outcome:
            query &= Q(outcome="ok") if self.outcome == "ok" else ~Q(outcome="ok")
        if self.period in PERIODS:
            query &= Q(at__gte=now - PERIODS[self.period])
        return query

    def asked(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Page:
    events: list[Event]
    older: str  # cursor of the next page; empty on the last


def cursor_of(event: Event) -> str:
    return f"{(event.at - EPOCH) // MICROSECOND}-{event.pk}"


def after(cursor: str) -> Q:
    """Everything older than the event `cursor` stands for. Raises CursorError."""
    found = CURSOR.fullmatch(cursor)
    if not found:
        message = "not a place in the log"
        raise CursorError(message)
    at, pk = EPOCH + int(found[1]) * MICROSECOND, int(found[2])
    return Q(at__lt=at) | Q(at=at, pk__lt=pk)


def with_group(wanted: Filter) -> QuerySet[Event]:
    """Events of the group. By expression, so that the database walks them in time and does not sort a whole group."""
    prefix = GROUPS.get(wanted.group)
    if not prefix:
        return Event.objects.all()
    return Event.objects.alias(group=Left("tag", len(prefix))).filter(group=prefix)


def page(wanted: Filter, *, now: datetime, cursor: str = "", size: int = PAGE) -> Page:
    """Newest events first, `size` of them, from `cursor` on. Costs the same on every page. Raises CursorError."""
    events = with_group(wanted).filter(wanted.query(now=now)).order_by("-at", "-id")
    if cursor:
        events = events.filter(after(cursor))
    found = list(events[: size + 1])
    return Page(found[:size], cursor_of(found[size - 1]) if len(found) > size else "")


def counts_by_hour(wanted: Filter, *, now: datetime, hours: int = 24) -> list[tuple[datetime, int]]:
    """Events in each of the last `hours` hours, oldest first, the running hour last."""
    first = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
    events = with_group(wanted).filter(wanted.query(now=now))
    starts = [first + timedelta(hours=step) for step in range(hours)]
    # One count an hour reads the index alone; truncating times row by row costs 50 times as much on SQLite.
    return [(start, events.filter(at__gte=start, at__lt=start + timedelta(hours=1)).count()) for start in starts]


@dataclass(frozen=True)
class ChainState:
    """What the page says about the seal: how far, since when, when it was last checked and with what result."""

    sealed_seq: int
    sealed_at: datetime | None
    waiting: int
    verified_seq: int | None
    verified_at: datetime | None
    broken_seq: int | None


def chain_state() -> ChainState:
    head = ChainHead.objects.filter(pk=1).first() or ChainHead()
    waiting = Event.objects.filter(seq__isnull=True).count()
    return ChainState(head.seq, head.sealed_at, waiting, head.verified_seq, head.verified_at, head.broken_seq)
