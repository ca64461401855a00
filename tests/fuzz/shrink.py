"""The smallest input that still breaks the same promise: cuts pieces out while the fault stays. Knows no engine."""

from collections.abc import Callable

from tests.fuzz.target import Target, broken

TRIES = 3_000


def smallest(data: bytes, still: Callable[[bytes], bool], *, tries: int = TRIES) -> bytes:
    """`data` with as much cut out as leaves `still` true; by halves, quarters, … single octets."""
    size = max(len(data) // 2, 1)
    while size and tries:
        at, shorter = 0, False
        while at < len(data) and tries:
            less = data[:at] + data[at + size :]
            tries -= 1
            if still(less):
                data, shorter = less, True
            else:
                at += size
        size = size if shorter and size == 1 else size // 2
    return data


def shrink(target: Target, data: bytes) -> tuple[bytes, BaseException | None]:
    """The smallest input found that fails in the same way, and how it fails (None: this input does not)."""
    first = broken(target, data)
    if first is None:
        return data, None
    promise = _promise(first)

    def still(less: bytes) -> bool:
        error = broken(target, less)
        return error is not None and _promise(error) == promise

    least = smallest(data, still)
    return least, broken(target, least)


def _promise(error: BaseException) -> tuple[type[BaseException], str]:
    return type(error), str(error).partition(": ")[0][:80]
