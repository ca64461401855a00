"""Keys of messages and deliveries: 63-bit, time-ordered, made before insert. Pure but for the clock it is given.

41 bits of milliseconds since 2020-01-01 UTC and 22 random bits, shown as 13 characters of Crockford base32.
Access never rests on an id being secret.
"""

import os
import random
import threading
import time

EPOCH_MS = 1_577_836_800_000
RANDOM_BITS = 22
LENGTH = 13
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS = [first + second for first in ALPHABET for second in ALPHABET]  # of ten bits
STEP_BITS = 10  # keys of one moment in one process lie up to 2^10 apart
RECENT = 1000 << RANDOM_BITS  # one second; a clock set back further starts anew
# Seeded by the system, once a process: keys must differ, not be secret, and each call to the system costs a mail dear.
_random = random.Random()  # noqa: S311 - as above
os.register_at_fork(after_in_child=_random.seed)
_lock = threading.Lock()
_last = 0
_DECODE = {character: value for value, character in enumerate(ALPHABET)} | {"I": 1, "L": 1, "O": 0}


def new_id(now_ms: int | None = None) -> int:
    """A new key; `now_ms` is Unix time in milliseconds (default: now).

    Within a process always greater than the last, so that a burst never makes a key twice.
    """
    global _last  # noqa: PLW0603 - the last key of this process, under its lock
    moment = (time.time_ns() // 1_000_000 if now_ms is None else now_ms) - EPOCH_MS
    fresh = (moment & (1 << 41) - 1) << RANDOM_BITS | _random.getrandbits(RANDOM_BITS)
    with _lock:
        if fresh <= _last < fresh + RECENT:
            fresh = _last + 1 + _random.getrandbits(STEP_BITS)
        _last = fresh
    return fresh


def encode(value: int) -> str:
    """The 13-character form of a key. Raises ValueError outside 63 bits."""
    if not 0 <= value < 1 << 63:
        raise ValueError("a key has 63 bits")
    return (
        ALPHABET[value >> 60]
        + PAIRS[value >> 50 & 1023]
        + PAIRS[value >> 40 & 1023]
        + PAIRS[value >> 30 & 1023]
        + PAIRS[value >> 20 & 1023]
        + PAIRS[value >> 10 & 1023]
        + PAIRS[value & 1023]
    )


def decode(text: str) -> int:
    """The key behind its 13-character form, lenient in case and in I, L, O. Raises ValueError."""
    if len(text) != LENGTH or not text.isascii():
        raise ValueError("an id has 13 characters")
    value = 0
    for character in text.upper():
        if character not in _DECODE:
            raise ValueError("an id holds letters and digits only")
        value = value << 5 | _DECODE[character]
    if value >= 1 << 63:
        raise ValueError("an id has 63 bits")
    return value
