"""Numbers of one episode over time: arrivals, held, delivered. Reads only; counts, never content."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count, QuerySet
from django.db.models.functions import TruncMinute

from spool.models import Delivery

STEPS = tuple(timedelta(minutes=n) for n in (1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440))
MOST = 48  # columns of the chart
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Column:
    """One step of time; `held` and `delivered` as they stood at its end."""

    start: datetime
    arrived: int
    held: int
    delivered: int


@dataclass(frozen=True)
class Course:
    """An episode in equal steps."""

    start: datetime
    end: datetime
    step: timedelta
    columns: tuple[Column, ...]

    @property
    def minutes(self) -> int:
        return int(self.step / MINUTE)


def step_for(span: timedelta) -> timedelta:
    """The smallest step that needs at most MOST columns."""
    return next((step for step in STEPS if span <= step * MOST), STEPS[-1])


def course(rows: QuerySet[Delivery], *, start: datetime, end: datetime) -> Course:
    """Two grouped counts by the minute, then summed into columns."""
    start = start.replace(second=0, microsecond=0)
    step = step_for(end - start)
    arrived = _by_minute(rows, "created_at")
    finished = _by_minute(rows.filter(finished_at__isnull=False), "finished_at")
    delivered = _by_minute(rows.filter(state="delivered"), "finished_at")
    count = min(MOST, int((end - start) / step) + 1)
    columns, came, went, home = [], _before(arrived, start), _before(finished, start), _before(delivered, start)
    for number in range(count):
        low, high = start + step * number, start + step * (number + 1)
        new = _between(arrived, low, high)
        came, went, home = came + new, went + _between(finished, low, high), home + _between(delivered, low, high)
        columns.append(Column(low, new, came - went, home))
    return Course(start, end, step, tuple(columns))


Counts = list[tuple[datetime, int]]


def _by_minute(rows: QuerySet[Delivery], field: str) -> Counts:
    grouped = rows.order_by().annotate(minute=TruncMinute(field, tzinfo=UTC)).values_list("minute")
    return merge(grouped.annotate(number=Count("pk")))


def merge(rows: Iterable[tuple[datetime, int]]) -> Counts:
    found: Counter[datetime] = Counter()
    for minute, number in rows:
        found[minute] += number
    return sorted(found.items())


def _before(counts: Counts, start: datetime) -> int:
    """What came or went before the course begins: mail may have waited when an outage was first seen."""
    return sum(number for minute, number in counts if minute < start)


def _between(counts: Counts, low: datetime, high: datetime) -> int:
    return sum(number for minute, number in counts if low <= minute < high)
