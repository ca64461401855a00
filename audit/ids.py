"""Keys of events: 63-bit, time-ordered, made before insert. audit imports no other room, so it makes its own."""

import secrets
import threading
import time

EPOCH_MS = 1_577_836_800_000
RANDOM_BITS = 22
STEP = 1 << 10  # keys of one moment in one process lie up to this far apart
RECENT = 1000 << RANDOM_BITS  # one second; a clock set back further starts anew

_lock = threading.Lock()
_last = 0


def new_event_id() -> int:
    """41 bits of milliseconds since 2020-01-01 UTC and 22 random bits; within a process always greater than the last.

    So a burst in one process never makes a key twice and is sealed in the order it happened.
    """
    global _last  # noqa: PLW0603 - the last key of this process, under its lock
    fresh = (time.time_ns() // 1_000_000 - EPOCH_MS & (1 << 41) - 1) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
    with _lock:
        if fresh <= _last < fresh + RECENT:
            fresh = _last + 1 + secrets.randbelow(STEP)
        _last = fresh
    return fresh
