"""Keys of events: 63-bit, time-ordered, made before insert. audit imports no other room, so it makes its own."""

import secrets
import time

EPOCH_MS = 1_577_836_800_000
RANDOM_BITS = 22


def new_event_id() -> int:
    """41 bits of milliseconds since 2020-01-01 UTC and 22 random bits."""
    return (time.time_ns() // 1_000_000 - EPOCH_MS & (1 << 41) - 1) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
