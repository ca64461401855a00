"""How much the drain asks of a primary at once: starts with one message, grows on success, shrinks on 4xx. Pure."""

from dataclasses import dataclass
from enum import Enum

MAX_MESSAGES = 200  # in one round
MAX_LANES = 8  # connections at once
BURST = 10  # recipients put off or refused in a row, without a single success, stop the drain


class Verdict(Enum):
    GO_ON = "go on"
    STOP = "stop"  # the host is not there: the route's state decides
    PAUSE = "pause"  # the host answers, but takes nothing


@dataclass(frozen=True)
class Window:
    """Messages of the next round, over how many connections, and failures in a row so far."""

    messages: int = 1
    lanes: int = 1
    failed_in_a_row: int = 0

    def after(self, *, delivered: int, put_off: int, refused: int, lost_connection: bool) -> "tuple[Window, Verdict]":
        """The next window after a round with these answers."""
        failed = 0 if delivered else self.failed_in_a_row + put_off + refused
        if lost_connection:
            return Window(), Verdict.STOP
        if failed >= BURST:
            return Window(), Verdict.PAUSE
        if put_off:
            return Window(max(1, self.messages // 2), max(1, self.lanes // 2), failed), Verdict.GO_ON
        grown = Window(min(MAX_MESSAGES, self.messages * 2), min(MAX_LANES, self.lanes + 1), failed)
        return grown, Verdict.GO_ON
