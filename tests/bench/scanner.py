"""The DATA scanner against the reader of lines of its test, over very many random streams and splits.

Prints one JSON row: streams tried, faults, seconds. A fault ends with its stream and split.

    python -m tests.bench scanner [--streams 200000] [--seed 1]
"""

import argparse
import json
import random
import sys
import time

from spool.smtpd.scanner import Problem
from tests.spool.smtpd.test_scanner import reference, scan

PIECES = (b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\r\n..\r\n", b".", b"\r", b"\n", b"\0", b"a", b"text", b".\r\n", b"..\r\n")


def agrees(stream: bytes, chunks: list[bytes]) -> bool:
    scanner, rest = scan([chunk for chunk in chunks if chunk])
    expected = reference(stream)
    if expected is None or rest is None:
        return expected is None and rest is None
    message, after = expected
    bare = message.replace(b"\r\n", b"")
    dirty = b"\r" in bare or b"\n" in bare or b"\0" in bare
    wanted = (b"", Problem.BARE) if dirty else (message, None)
    return rest == after and (scanner.content(), scanner.problem) == wanted


def split(stream: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(12)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="nothing but JSON (always so)")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    began = time.monotonic()
    for _ in range(options.streams):
        stream = b"".join(chance.choice(PIECES) for _ in range(chance.randrange(25)))
        chunks = split(stream, chance)
        if not agrees(stream, chunks):
            sys.exit(f"the scanner and the reader of lines disagree on {chunks!r}")
    row = {"streams": options.streams, "faults": 0, "seconds": round(time.monotonic() - began, 1), "seed": options.seed}
    print(json.dumps(row))


if __name__ == "__main__":
    main()
