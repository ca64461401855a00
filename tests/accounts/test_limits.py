"""Limits, for any sequence of tries: never more than allowed, never a wait without end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import limits
from accounts.limits import Limit, Tries

pytestmark = pytest.mark.pure

START = 1_700_000_000.0
ALL = (limits.ACCOUNT, limits.KNOWN_BROWSER, limits.NETWORK, limits.EVERYBODY, *limits.CODE)
pauses = st.lists(st.floats(min_value=0, max_value=400), min_size=1, max_size=120)


def hammer(limit: Limit, gaps: list[float]) -> list[float]:
    """Try after each gap; the times of the tries that were allowed."""
    allowed: list[float] = []
    tries, now = Tries({}), START
    for gap in gaps:
        now += gap
        if limits.wait(limit, tries, now) == 0:
            tries = limits.taken(limit, tries, now)
            allowed.append(now)
    return allowed


@given(st.sampled_from(ALL), pauses)
def test_no_window_sees_more_than_the_limit(limit: Limit, gaps: list[float]) -> None:
    allowed = hammer(limit, gaps)
    for first in allowed:
        assert sum(first <= at < first + limit.window for at in allowed) <= limit.most


@given(st.sampled_from(ALL), pauses)
def test_whoever_waits_as_told_gets_a_try(limit: Limit, gaps: list[float]) -> None:
    tries, now = Tries({}), START
    for gap in gaps:
        now += gap
        told = limits.wait(limit, tries, now)
        assert 0 <= told <= limit.window * (1 + 1 / limits.SLICES)
        assert limits.wait(limit, tries, now + told + 0.001) == 0
        tries = limits.taken(limit, tries, now + told + 0.001)
        now += told + 0.001


@given(st.sampled_from(ALL), st.integers(min_value=0, max_value=60))
def test_a_try_given_back_costs_nothing(limit: Limit, times: int) -> None:
    tries, now = Tries({}), START
    for _ in range(times):
        tries = limits.given_back(limit, limits.taken(limit, tries, now), now)
    assert limits.wait(limit, tries, now) == 0


def test_pauses_between_guesses_grow() -> None:
    tries, told = Tries({}), []
    for _ in range(limits.ACCOUNT.most):
        tries = limits.taken(limits.ACCOUNT, tries, START)
        told.append(round(limits.wait(limits.ACCOUNT, tries, START)))
    assert told[:9] == [0, 0, 0, 0, 0, 2, 4, 8, 16]
    assert told[9] > 250


@pytest.mark.parametrize(("count", "window"), [(5, 300), (20, 3600), (50, 86_400)])
def test_wrong_codes_are_limited_in_three_windows(count: int, window: int) -> None:
    limit = next(limit for limit in limits.CODE if limit.window == window)
    assert len(hammer(limit, [0.0] * 100)) == count


def test_a_clock_set_back_gives_no_fresh_tries() -> None:
    limit = limits.CODE[0]
    tries = Tries({})
    for _ in range(limit.most):
        tries = limits.taken(limit, tries, START)
    assert limits.wait(limit, tries, START - 3600) > 0
