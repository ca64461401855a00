"""What a fuzz target is, and how one input is tried. Knows no engine."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass


class Fault(AssertionError):  # noqa: N818 - what an oracle says of an input
    """The oracle's word: the code under test broke a promise."""


def check(fine: bool, promise: str, *found: object) -> None:
    """Raises Fault with the `promise` that was broken and what was found."""
    if not fine:
        raise Fault(": ".join([promise, *(repr(one)[:300] for one in found)]))


@dataclass(frozen=True)
class Target:
    """`run` takes any octets and raises if a promise is broken; `seeds` and `tokens` are what inputs are made of.

    `seconds` of CPU one input may take; `longest` input in octets; `module` is where the target is defined.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    tokens: tuple[bytes, ...]
    longest: int = 4096
    seconds: float = 2.0


def attempt(target: Target, data: bytes, *, slower: float = 1.0) -> None:
    """Try one input. Raises whatever is wrong; `slower`: how much an engine's own work slows the code down."""
    began = time.process_time()
    target.run(data)
    used = time.process_time() - began
    check(used <= target.seconds * slower, "an input takes too long", round(used, 1))


def broken(target: Target, data: bytes, *, slower: float = 1.0) -> BaseException | None:
    """What is wrong with this input, if anything. A panic of compiled code is no Exception."""
    try:
        attempt(target, data, slower=slower)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return error
    return None


def digest(data: bytes) -> str:
    """A short name for an input."""
    return hashlib.sha256(data).hexdigest()[:12]


def chunks(data: bytes, seed: int) -> list[bytes]:
    """`data` in up to 16 pieces, cut where `seed` says: the same seed cuts alike."""
    cuts = sorted(
        (seed * 2_654_435_761 + number * 40_503 * (number + seed)) % (len(data) + 1) for number in range(seed % 16)
    )
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if end > start]
