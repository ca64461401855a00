"""The state machine and the times, played through without a clock."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.enums import RouteState
from spool.queue import schedule
from spool.queue.schedule import Health, Surroundings, after_evidence, retry_delay

pytestmark = pytest.mark.pure

UP, SUSPECT, DOWN, RECOVERING = RouteState.UP, RouteState.SUSPECT, RouteState.DOWN, RouteState.RECOVERING
DRAINED, FULL = Surroundings(drained=True), Surroundings(drained=False)
OVERRIDDEN = Surroundings(overridden=True)


def play(state: RouteState, looks: str, around: Surroundings = DRAINED) -> list[RouteState]:
    """The states after each look; `+` is good, `-` is bad."""
    health, states = Health(state), []
    for look in looks:
        health = after_evidence(health, ok=look == "+", around=around)
        states.append(health.state)
    return states


@pytest.mark.parametrize(
    ("start", "looks", "around", "states"),
    [
        (UP, "+++", DRAINED, [UP, UP, UP]),
        (UP, "---", DRAINED, [SUSPECT, SUSPECT, DOWN]),
        (UP, "-++", FULL, [SUSPECT, SUSPECT, UP]),
        (UP, "-+-+", DRAINED, [SUSPECT] * 4),
        (DOWN, "+++", FULL, [DOWN, DOWN, RECOVERING]),
        (DOWN, "++-+++", FULL, [DOWN] * 5 + [RECOVERING]),
        (RECOVERING, "+++", FULL, [RECOVERING] * 3),
        (RECOVERING, "+", DRAINED, [UP]),
        (RECOVERING, "--+--", FULL, [RECOVERING] * 5),
        (RECOVERING, "---", FULL, [RECOVERING, RECOVERING, DOWN]),
        (UP, "+", OVERRIDDEN, [DOWN]),
        (DOWN, "++++++", OVERRIDDEN, [DOWN] * 6),
    ],
)
def test_transitions(start: RouteState, looks: str, around: Surroundings, states: list[RouteState]) -> None:
    assert play(start, looks, around) == states


@given(st.sampled_from(list(RouteState)), st.text("+-", max_size=40), st.sampled_from([DRAINED, FULL]))
def test_no_change_without_evidence_for_it(start: RouteState, looks: str, around: Surroundings) -> None:
    """A change to a worse state follows a failed look, a change to a better one a good look."""
    rank = {DOWN: 0, SUSPECT: 1, RECOVERING: 2, UP: 3}
    before = start
    for look, after in zip(looks, play(start, looks, around), strict=True):
        assert rank[after] >= rank[before] if look == "+" else rank[after] <= rank[before]
        before = after


@given(st.lists(st.tuples(st.booleans(), st.integers(6, 20)), min_size=1, max_size=20))
def test_a_flap_costs_at_most_two_rows_each_way(episodes: list[tuple[bool, int]]) -> None:
    """However often a primary goes and comes back for six looks or more, it leaves at most two rows a change."""
    looks = "".join(("+" if good else "-") * length for good, length in episodes)
    states = [UP, *play(UP, looks)]
    rows = sum(left is not right for left, right in itertools.pairwise(states))
    real_changes = sum(left[0] is not right[0] for left, right in zip([(True, 0), *episodes], episodes, strict=False))
    assert rows <= 2 * real_changes


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_delays_grow_and_are_clipped(attempts: int, dice: float) -> None:
    delay = retry_delay(attempts, dice=dice)
    assert schedule.FIRST_DELAY <= delay <= schedule.LAST_DELAY * (1 + schedule.JITTER)
    assert retry_delay(attempts + 1, dice=0) >= retry_delay(attempts, dice=0)
