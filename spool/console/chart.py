"""The drawing of an episode: SVG made on the server, its viewBox equal to its size, labels on the lines. Pure.

No styles inside (the page's policy forbids them): every mark has a class of console.css.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from spool.console.figures import Course

WIDE, NARROW = 640, 350  # px: the page shows the one that fits
HEIGHT = 236
LEFT, LABELS = 66, 128  # px before the plotted part, and after it in the wide drawing
LABELS_NARROW = 92
BARS_TOP, BARS_FOOT = 26, 62
LINES_TOP, LINES_FOOT = 84, 206
TICKS = tuple(timedelta(minutes=n) for n in (5, 10, 15, 30, 60, 120, 240, 480, 1440, 2880, 10080))
NEAR = 15  # px: two labels closer than this are moved apart


@dataclass(frozen=True)
class Moment:
    """A change of state: a labelled vertical line. `kind`: suspect, down, recovering, up."""

    at: datetime
    label: str
    kind: str


def round_up(value: int) -> int:
    """The smallest of 1, 2, 5 times a power of ten that is not below `value`, at least 4."""
    if value <= 4:
        return 4
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= value:
                return factor * power
        power *= 10


@dataclass(frozen=True)
class _Frame:
    course: Course
    width: int

    @property
    def right(self) -> int:
        """Where the plotted part ends."""
        return self.width - (LABELS if self.width >= WIDE else LABELS_NARROW)

    @property
    def span(self) -> float:
        course = self.course
        return max((course.columns[-1].start + course.step - course.start).total_seconds(), 60.0)

    def x(self, at: datetime) -> float:
        share = (at - self.course.start).total_seconds() / self.span
        return round(LEFT + min(max(share, 0.0), 1.0) * (self.right - LEFT), 1)


def _y(value: int, most: int, top: int, foot: int) -> float:
    return round(foot - (foot - top) * value / most, 1)


def draw(course: Course, moments: Sequence[Moment] = (), *, label: str, width: int = WIDE) -> SafeString:
    """The chart of `course`, `width` pixels wide."""
    frame = _Frame(course, width)
    parts = [_bars(frame), _lines(frame), _time(frame), _verticals(frame, moments)]
    return format_html(
        '<svg class="course course--{}" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>',
        "wide" if width >= WIDE else "narrow",
        width,
        HEIGHT,
        width,
        HEIGHT,
        label,
        format_html_join("", "{}", ((part,) for part in parts)),
    )


def _bars(frame: _Frame) -> SafeString:
    columns = frame.course.columns
    most = max(1, *(column.arrived for column in columns))
    wide = max((frame.right - LEFT) / max(len(columns), 1) - 2, 1.5)
    bars = format_html_join(
        "",
        '<rect class="course__bar" x="{}" y="{}" width="{}" height="{}" rx="1.5"/>',
        (
            (
                frame.x(column.start),
                _y(column.arrived, most, BARS_TOP, BARS_FOOT),
                f"{min(wide, 16):.1f}",
                f"{BARS_FOOT - _y(column.arrived, most, BARS_TOP, BARS_FOOT):.1f}",
            )
            for column in columns
            if column.arrived
        ),
    )
    return format_html(
        '<text class="course__name" x="0" y="{}">{}</text><text class="course__name" x="0" y="{}">{}</text>{}'
        '<path class="course__axis" d="M{} {}H{}"/>',
        BARS_FOOT - 16,
        _("New"),
        BARS_FOOT - 1,
        _("per %(n)d min") % {"n": frame.course.minutes},
        bars,
        LEFT,
        BARS_FOOT,
        frame.right,
    )


def _lines(frame: _Frame) -> SafeString:
    columns = frame.course.columns
    most = round_up(max(max(column.held, column.delivered) for column in columns))
    held = [(column.start + frame.course.step, column.held) for column in columns]
    home = [(column.start + frame.course.step, column.delivered) for column in columns]
    grid = format_html_join(
        "",
        '<path class="course__grid" d="M{} {}H{}"/>'
        '<text class="course__tick course__tick--end" x="{}" y="{}">{}</text>',
        (
            (
                LEFT,
                _y(value, most, LINES_TOP, LINES_FOOT),
                frame.right,
                LEFT - 6,
                _y(value, most, LINES_TOP, LINES_FOOT) + 4,
                f"{value:,}",
            )
            for value in (most // 2, most)
        ),
    )
    path = _path(frame, held, most)
    area = format_html('<path class="course__area" d="{}V{}H{}Z"/>', path, LINES_FOOT, LEFT)
    drawn = format_html('{}{}<path class="course__held" d="{}"/>', grid, area, path)
    if any(value for _at, value in home):
        drawn += format_html('<path class="course__home" d="{}"/>', _path(frame, home, most))
    return drawn + _ends(frame, held[-1], home[-1], most)


def _path(frame: _Frame, points: Sequence[tuple[datetime, int]], most: int) -> str:
    start = f"M{LEFT} {LINES_FOOT}"
    return start + "".join(f"L{frame.x(at)} {_y(value, most, LINES_TOP, LINES_FOOT)}" for at, value in points)


def _ends(frame: _Frame, held: tuple[datetime, int], home: tuple[datetime, int], most: int) -> SafeString:
    """The last values, written beside the ends of their lines."""
    y_held, y_home = (_y(value, most, LINES_TOP, LINES_FOOT) for _at, value in (held, home))
    text_held, text_home = y_held + 4, y_home + 4
    if abs(text_held - text_home) < NEAR:
        upper = min(text_held, text_home, LINES_FOOT - NEAR)
        first_held = y_held <= y_home
        text_held, text_home = (upper, upper + NEAR) if first_held else (upper + NEAR, upper)
    x = frame.x(held[0])
    parts = [("held", y_held, text_held, _("%(n)s held") % {"n": f"{held[1]:,}"})]
    if home[1]:
        parts.append(("home", y_home, text_home, _("%(n)s delivered") % {"n": f"{home[1]:,}"}))
    return format_html('<path class="course__axis" d="M{} {}H{}"/>', LEFT, LINES_FOOT, frame.right) + format_html_join(
        "",
        '<circle class="course__dot course__dot--{}" cx="{}" cy="{}" r="3"/>'
        '<text class="course__label course__label--{}" x="{}" y="{}">{}</text>',
        ((kind, x, y, kind, x + 9, text, words) for kind, y, text, words in parts),
    )


def _time(frame: _Frame) -> SafeString:
    course = frame.course
    span = timedelta(seconds=frame.span)
    step = next((tick for tick in TICKS if span <= tick * (8 if frame.width >= WIDE else 4)), TICKS[-1])
    local = timezone.localtime(course.start)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + step * (int((local - midnight) / step) + 1)
    ticks: list[tuple[float, int, float, int, str]] = []
    while at <= local + span and len(ticks) < 12:
        shown = f"{at:%H:%M}" if step < timedelta(days=1) else f"{at:%d.%m.}"
        ticks.append((frame.x(at), LINES_FOOT, frame.x(at), LINES_FOOT + 20, shown))
        at += step
    return format_html_join(
        "",
        '<path class="course__axis" d="M{} {}v4"/>'
        '<text class="course__tick course__tick--middle" x="{}" y="{}">{}</text>',
        ticks,
    )


def _verticals(frame: _Frame, moments: Sequence[Moment]) -> SafeString:
    shown = [one for one in moments if one.kind in {"down", "recovering", "up"}][:6]
    rows = []
    last = -1000.0
    for one in shown:
        x = frame.x(one.at)
        late = x > (LEFT + frame.right) / 2
        label = one.label if x - last > 90 else ""
        last = x if label else last
        anchor = "end" if late else "start"
        rows.append((one.kind, x, 20, LINES_FOOT, one.kind, anchor, x - 5 if late else x + 5, 14, label))
    return format_html_join(
        "",
        '<path class="course__state course__state--{}" d="M{} {}V{}"/>'
        '<text class="course__label course__label--{} course__label--at-{}" x="{}" y="{}">{}</text>',
        rows,
    )
