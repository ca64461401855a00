"""The chart's geometry: bars stand on the base, inside the frame, in proportion to their counts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.chart import LEFT, RIGHT, TOP, draw, round_up

pytestmark = pytest.mark.pure

START = datetime(2026, 11, 23, tzinfo=UTC)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=48), st.sampled_from([(720, 160), (350, 140)]))
def test_bars_fit_and_grow_with_their_counts(counts: list[int], size: tuple[int, int]) -> None:
    width, height = size
    chart = draw([(START + timedelta(hours=n), count) for n, count in enumerate(counts)], width=width, height=height)
    assert [bar.count for bar in chart.bars] == counts
    for bar in chart.bars:
        assert bar.y + bar.height == chart.base
        assert bar.y >= TOP
        assert bar.x >= LEFT
        assert bar.x + bar.width <= width - RIGHT + 1
        assert (bar.height > 0) == (bar.count > 0)
    ordered = sorted(chart.bars, key=lambda bar: bar.count)
    assert [bar.height for bar in ordered] == sorted(bar.height for bar in ordered)
    assert chart.grid[1].count >= max(counts)
    assert (chart.peak is None) == (not any(counts))


@given(st.integers(0, 10**9))
def test_the_axis_ends_on_a_round_even_number_not_far_above(count: int) -> None:
    top = round_up(count)
    assert top >= count
    assert top % 2 == 0
    assert top <= max(2, count * 3)
