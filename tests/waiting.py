"""Waiting for a condition instead of sleeping for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LONGEST_LOOK = 1.0  # seconds that one look at a condition counts: more is a machine that stood still


def wait_for(condition: Callable[[], T], seconds: float = 30.0, *, every: float = 0.02, what: str = "") -> T:
    """Call `condition` until its result is true and return it. Fails the test after `seconds`, naming `what`.

    A busy machine may stop for longer than the whole limit: no test fails for that before it has looked again.
    """
    left = seconds
    while True:
        looked = time.monotonic()
        result = condition()
        if result:
            return result
        if left <= 0:
            message = f"not reached within {seconds} s: {what or getattr(condition, '__qualname__', condition)}"
            raise AssertionError(message)
        time.sleep(every)
        left -= min(time.monotonic() - looked, LONGEST_LOOK)
