"""How many tries are allowed, and how long to wait. Pure: no database, no clock.

A window is counted in ten slices. Every slice that overlaps the window counts whole, so no span of `window`
seconds ever sees more than `most` tries. Before that the pauses between tries grow.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SLICES = 10
FIRST_PAUSE = 2.0  # seconds, doubled with every further try


@dataclass(frozen=True)
class Limit:
    """At most `most` tries in `window` seconds; after `free` of them each pause doubles."""

    scope: str
    most: int
    window: int
    free: int

    @property
    def slice_seconds(self) -> float:
        return self.window / SLICES

    def slice_of(self, at: float) -> int:
        return int(at // self.slice_seconds)


# Password: per account (browsers that never logged in), per known browser, per network, everybody.
ACCOUNT = Limit("account", most=10, window=300, free=5)
KNOWN_BROWSER = Limit("browser", most=10, window=300, free=5)
NETWORK = Limit("network", most=50, window=300, free=50)
EVERYBODY = Limit("everybody", most=1000, window=300, free=1000)
# Second factor, per person; reached only with the right password.
CODE = (
    Limit("code-5min", most=5, window=300, free=5),
    Limit("code-hour", most=20, window=3600, free=20),
    Limit("code-day", most=50, window=86_400, free=50),
)
INVITE = Limit("invite", most=20, window=300, free=20)  # per network
DENIED = Limit("denied", most=1, window=600, free=1)  # events of one person about one path


@dataclass(frozen=True)
class Tries:
    """What is known of one subject: tries per slice, and the Unix time of the last one."""

    slices: Mapping[int, int]
    last_at: float = 0.0

    def counted(self, limit: Limit, now: float) -> dict[int, int]:
        """The slices that overlap the window ending at `now`. A clock set back forgets nothing."""
        oldest = limit.slice_of(now - limit.window)
        return {number: tries for number, tries in self.slices.items() if number >= oldest and tries > 0}


def wait(limit: Limit, tries: Tries, now: float) -> float:
    """Seconds until the next try is allowed; 0 if it is allowed at `now`. Never more than the window and a slice."""
    counted = tries.counted(limit, now)
    total = sum(counted.values())
    longest = limit.window + limit.slice_seconds
    if total >= limit.most:
        left = total
        for number in sorted(counted):
            left -= counted[number]
            if left < limit.most:
                leaves = (number + 1) * limit.slice_seconds + limit.window
                return min(max(leaves - now, 1.0), longest)
    if total > limit.free:
        pause = FIRST_PAUSE * float(1 << (total - limit.free - 1))
        return min(max(tries.last_at + pause - now, 0.0), float(limit.window))
    return 0.0


def taken(limit: Limit, tries: Tries, now: float) -> Tries:
    """`tries` with one more at `now`, and without what no longer counts."""
    slices = tries.counted(limit, now)
    number = limit.slice_of(now)
    slices[number] = slices.get(number, 0) + 1
    return Tries(slices, now)


def given_back(limit: Limit, tries: Tries, at: float) -> Tries:
    """`tries` without the one taken at `at` (it turned out right)."""
    slices = dict(tries.slices)
    number = limit.slice_of(at)
    if slices.get(number, 0) > 0:
        slices[number] -= 1
    return Tries(slices, tries.last_at)
