"""The engine of last resort: mutates seeds blindly. Deterministic for a seed; needs nothing but Python."""

import random
import signal
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from tests.fuzz.target import Fault, Target, broken

POOL = 2_000  # inputs that are mutated further
HANG = 60  # seconds after which an input is given up


def mutated(data: bytes, target: Target, pool: Sequence[bytes], chance: random.Random) -> bytes:
    """`data` after a few random changes, at most `target.longest` octets."""
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 1, 2, 4, 16, 64)))
        kind = chance.randrange(8)
        if kind < 3 and target.tokens:
            data = data[:at] + chance.choice(target.tokens) + data[end if kind == 0 else at :]
        elif kind == 3:
            data = data[:at] + data[end:]
        elif kind == 4:
            data = data[:at] + data[at:end] * chance.choice((2, 3, 20)) + data[end:]
        elif kind == 5:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        elif kind == 6:
            other = chance.choice(pool)
            data = data[:at] + other[chance.randrange(len(other) + 1) :]
        else:
            data = data[:at] + chance.randbytes(chance.choice((1, 2, 8))) + data[at:]
    return data[: target.longest]


def inputs(target: Target, chance: random.Random) -> Iterator[bytes]:
    """The seeds first, then mutations of them and of some of their offspring, without end."""
    pool = [seed[: target.longest] for seed in target.seeds()] or [b""]
    yield from list(pool)
    while True:
        made = mutated(chance.choice(pool), target, pool, chance)
        yield made
        if chance.random() < 0.02:
            if len(pool) < POOL:
                pool.append(made)
            else:
                pool[chance.randrange(POOL)] = made


def _hung(_number: int, _frame: FrameType | None) -> None:
    raise Fault(f"an input takes more than {HANG} s")


def fuzz(target: Target, *, seconds: float, seed: int) -> tuple[int, bytes | None, BaseException | None]:
    """Executions, and the input that broke a promise with what it was, if any did within `seconds`."""
    signal.signal(signal.SIGALRM, _hung)
    deadline = time.monotonic() + seconds
    for number, data in enumerate(inputs(target, random.Random(seed)), 1):
        signal.alarm(HANG)
        error = broken(target, data)
        signal.alarm(0)
        if error is not None:
            return number, data, error
        if time.monotonic() > deadline:
            return number, None, None
    raise AssertionError("inputs never end")
