"""When to try again, when to give up, and what a probe means for a route. Pure: no database, no clock, no network.

The state machine is one function of the route's state, its counts in a row and one piece of evidence, so that
every sequence of evidence can be played through in a test.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from spool.enums import RouteState

FIRST_DELAY = timedelta(seconds=30)
LAST_DELAY = timedelta(hours=1)
JITTER = 0.2  # of the delay, added: a crowd put off together does not come back together

BAD_TO_DOWN = 3  # failed in a row, the one that made the route suspect included
GOOD_TO_UP = 2  # good in a row while suspect
GOOD_TO_RECOVERING = 3  # good in a row while down

# Where the drain may run. While a route is anything else, no attempts are burnt (rule 5).
OPEN_STATES = frozenset({RouteState.UP, RouteState.RECOVERING})
# Where the next probe comes after a second instead of PROBE_INTERVAL.
RESTLESS_STATES = frozenset({RouteState.SUSPECT, RouteState.DOWN, RouteState.RECOVERING})


def retry_delay(attempts: int, *, dice: float) -> timedelta:
    """How long to wait after attempt number `attempts` (from 1): the time this mail has been tried for, clipped.

    Doubling the delay keeps it near the age since the first try (as Postfix's queue manager does); the age since
    acceptance would make mail from a long outage wait an hour after its first 4xx. `dice` is in [0, 1).
    """
    doublings = min(max(attempts - 1, 0), 10)
    delay = min(FIRST_DELAY * (1 << doublings), LAST_DELAY)
    return delay * (1 + JITTER * dice)


@dataclass(frozen=True)
class Health:
    """A route as the state machine sees it: state, and how many probes agreed in a row."""

    state: RouteState
    good: int = 0
    bad: int = 0


@dataclass(frozen=True)
class Surroundings:
    """What else decides. `overridden`: a declared, planned or drill outage holds the route down."""

    overridden: bool = False
    drained: bool = True


def after_evidence(health: Health, *, ok: bool, around: Surroundings) -> Health:
    """The health after one probe or one real reply. Counts start again at each change of state."""
    counted = replace(health, good=health.good + 1 if ok else 0, bad=0 if ok else health.bad + 1)
    if around.overridden:
        return counted if health.state is RouteState.DOWN else replace(counted, state=RouteState.DOWN)
    new = _next_state(counted, around)
    if new is health.state:
        return counted
    # The probe that makes a route suspect is the first of the three that make it down.
    return Health(new, bad=counted.bad if new is RouteState.SUSPECT else 0)


def _next_state(counted: Health, around: Surroundings) -> RouteState:
    state = counted.state
    if state is RouteState.UP:
        return RouteState.SUSPECT if counted.bad else state
    if state is RouteState.SUSPECT:
        if counted.bad >= BAD_TO_DOWN:
            return RouteState.DOWN
        return RouteState.UP if counted.good >= GOOD_TO_UP else state
    if state is RouteState.DOWN:
        return RouteState.RECOVERING if counted.good >= GOOD_TO_RECOVERING else state
    if counted.bad >= BAD_TO_DOWN:
        return RouteState.DOWN
    return RouteState.UP if counted.good and around.drained else state


def probe_delay(state: RouteState, *, interval: float) -> float:
    """Seconds until the next look at a route."""
    return min(interval, 1.0) if state in RESTLESS_STATES else interval


@dataclass(frozen=True)
class Evidence:
    """One look at a primary, or one real reply of it. `milliseconds` it took."""

    ok: bool
    host: str
    phase: str = "connect"
    code: int | None = None
    text: str = ""
    milliseconds: int = 0
    is_probe: bool = True
