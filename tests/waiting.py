"""Waiting on a condition with a deadline, instead of sleeping. The only place in the tests that pauses."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE = 0.02  # seconds between two looks


def wait_for(condition: Callable[[], T], *, seconds: float = 5.0, what: str = "") -> T:
    """The first true value of `condition`. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            message = f"not within {seconds} s: {what or condition}"
            raise AssertionError(message)
        pause.wait(PAUSE)
