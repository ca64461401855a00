"""Geometry of the bar chart of events per hour. Pure: counts in, coordinates in whole pixels out.

viewBox equals the rendered size, the axis starts at zero, labels stand on the lines (docs/design.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

LEFT, RIGHT, TOP, BOTTOM = 36, 8, 18, 24  # px around the plot
GAP = 2  # px between bars
TICKS_EVERY = 6  # hours


@dataclass(frozen=True)
class Bar:
    hour: datetime
    count: int
    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> int:
        return self.x + self.width // 2


@dataclass(frozen=True)
class Line:
    count: int
    y: int


@dataclass(frozen=True)
class Chart:
    width: int
    height: int
    bars: tuple[Bar, ...]
    grid: tuple[Line, ...]  # labelled, without the zero line
    peak: Bar | None  # labelled; none when nothing happened

    @property
    def base(self) -> int:
        return self.height - BOTTOM

    @property
    def left(self) -> int:
        return LEFT

    @property
    def right(self) -> int:
        return self.width - RIGHT

    @property
    def ticks(self) -> tuple[Bar, ...]:
        """Bars whose hour is written below them."""
        return self.bars[::TICKS_EVERY]


def round_up(count: int) -> int:
    """The next of 2, 4, 10, 20, 40, 100, …: halves evenly, for the grid has a line at half."""
    step = 1
    while True:
        for factor in (2, 4, 10):
            if count <= factor * step:
                return factor * step
        step *= 10


def draw(counts: Sequence[tuple[datetime, int]], *, width: int, height: int) -> Chart:
    top = round_up(max((count for _, count in counts), default=0))
    base, plot = height - BOTTOM, height - BOTTOM - TOP
    slot = (width - LEFT - RIGHT) / max(len(counts), 1)
    bars = []
    for place, (hour, count) in enumerate(counts):
        tall = max(round(plot * count / top), 2) if count else 0  # one event among thousands is still to be seen
        x = round(LEFT + place * slot)
        bars.append(Bar(hour, count, x, base - tall, max(round(slot) - GAP, 1), tall))
    grid = tuple(Line(count, base - round(plot * count / top)) for count in (top // 2, top))
    peak = max(bars, key=lambda bar: bar.count, default=None)
    return Chart(width, height, tuple(bars), grid, peak if peak and peak.count else None)
