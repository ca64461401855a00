"""Waiting for a condition instead of sleeping for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], seconds: float = 10.0, *, every: float = 0.02, what: str = "") -> T:
    """Call `condition` until its result is true and return it. Fails the test after `seconds`, naming `what`."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            message = f"not reached within {seconds} s: {what or getattr(condition, '__qualname__', condition)}"
            raise AssertionError(message)
        time.sleep(every)
