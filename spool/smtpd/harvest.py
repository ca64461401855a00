"""How many unknown recipients each client network asked for: slower from half the limit, 421 at the limit (C7).

Counts of one process, in memory, bounded, lost at a restart. Knows no reply, no socket and no database.
"""

from collections import OrderedDict

REMEMBERED = 50_000  # client networks
HOUR = 3600.0  # seconds


class Harvest:
    """A leaky bucket for each client: it holds `limit` unknown recipients and leaks them within an hour; 0: no limit.

    A recipient accepted from the same client takes one out: a filter in front of einbox that passes on the spam for
    made-up names with the mail of a whole organisation is not cut off.
    """

    def __init__(self, limit: int, *, size: int = REMEMBERED) -> None:
        self._limit, self._size = limit, size
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> level, at

    def _level(self, client: str, now: float) -> float:
        found = self._levels.get(client)
        return 0.0 if found is None else max(0.0, found[0] - (now - found[1]) * self._limit / HOUR)

    def unknown(self, client: str, now: float) -> bool:
        """Count one unknown recipient; whether its answer should come late. `now` in seconds of a steady clock."""
        if not self._limit:
            return False
        level = self._level(client, now) + 1
        self._levels[client] = level, now
        self._levels.move_to_end(client)
        if len(self._levels) > self._size:
            self._levels.popitem(last=False)
        return level > self._limit / 2

    def accepted(self, client: str, recipients: int, now: float) -> None:
        """Mail was taken for so many recipients."""
        if client not in self._levels:
            return
        level = self._level(client, now) - recipients
        if level > 0:
            self._levels[client] = level, now
        else:
            del self._levels[client]

    def full(self, client: str, now: float) -> bool:
        """Whether the client may name no recipient now, known or not: the answer would tell which it is."""
        return client in self._levels and self._level(client, now) > self._limit - 1
