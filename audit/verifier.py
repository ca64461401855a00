"""Checks an exported audit log without einbox: `python verifier.py export.jsonl` (or `-` for standard input).

One file, standard library only, no import from einbox, so that somebody who trusts neither the server nor its admin
can read it and run it elsewhere. Each line of the export is one sealed event,

    {"seq": 1, "previous_hash": "…", "hash": "…", "event": {…}}

    hash = SHA-256( "einbox.audit.event.v1\\n" || seq, 8 bytes big-endian || previous hash, 32 bytes || event )

where the event is UTF-8 JSON after RFC 8785 (integers in full). A whole chain starts at seq 1 with the hash
of "einbox.audit.genesis.v1\\n"; an excerpt is checked from its first line on. Compare the last hash printed with one
noted earlier or held by somebody else: only that shows that the end was not cut off or everything rewritten.

Exit status: 0 all lines verify, 1 one does not (the first is named), 2 the file cannot be read.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

DOMAIN = b"einbox.audit.event.v1\n"
GENESIS = hashlib.sha256(b"einbox.audit.genesis.v1\n").hexdigest()


class VerificationError(Exception):
    """A line that does not verify; its text names the line's seq and the cause."""


def number(value: float) -> str:
    """A float as ECMAScript writes it (RFC 8785 section 3.2.2.3), from the shortest digits that read back."""
    exact = Decimal(repr(value))
    if not exact.is_finite():
        raise ValueError("a number is not finite")
    sign, digits, exponent = exact.normalize().as_tuple()
    text, power = "".join(map(str, digits)), len(digits) + int(exponent)  # 0.text × 10^power
    minus = "-" if sign and text != "0" else ""
    if text == "0":
        return "0"
    if len(text) <= power <= 21:
        return minus + text.ljust(power, "0")
    if 0 < power <= 21:
        return f"{minus}{text[:power]}.{text[power:]}"
    if -6 < power <= 0:
        return f"{minus}0.{'0' * -power}{text}"
    return f"{minus}{text[0]}{'.' if text[1:] else ''}{text[1:]}e{power - 1:+d}"


def canonical(value: Any) -> str:
    """JSON without white space, members sorted by UTF-16 code units (RFC 8785)."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, refused when a name stands twice: a reader and this script could take different ones."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def check(line: str, seq: int | None, previous: str) -> tuple[int, str]:
    """The (seq, hash) of a line that follows `previous`; `seq` None for a first line. Raises VerificationError."""
    where = "the first line" if seq is None else f"seq {seq}"
    try:
        row = json.loads(line, object_pairs_hook=members)
        found, before, claimed, event = row["seq"], row["previous_hash"], row["hash"], row["event"]
        body = canonical(event).encode()
        if type(found) is not int or (seq is not None and found != seq):
            raise VerificationError(f"{where}: found seq {found!r} in its place")
        if seq is None:
            previous = GENESIS if found == 1 else before
        digest = hashlib.sha256(DOMAIN + found.to_bytes(8, "big") + bytes.fromhex(previous) + body).hexdigest()
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise VerificationError(f"{where}: not a sealed event ({type(error).__name__}: {error})") from error
    if before != previous:
        raise VerificationError(f"seq {found}: does not follow the event before")
    if digest != claimed:
        raise VerificationError(f"seq {found}: its content does not match its hash")
    return found, digest


def verify(lines: Iterable[str]) -> tuple[int, int, str]:
    """The (first seq, last seq, last hash) of all lines; seq 0 and GENESIS for none. Raises VerificationError."""
    first, seq, previous = 0, 0, GENESIS
    for line in lines:
        seq, previous = check(line, seq + 1 if first else None, previous)
        first = first or seq
    return first, seq, previous


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python verifier.py export.jsonl", file=sys.stderr)  # noqa: T201 - a command
        return 2
    try:
        with sys.stdin if arguments[0] == "-" else Path(arguments[0]).open(encoding="utf-8", newline="\n") as lines:
            first, last, head = verify(lines)
    except VerificationError as failure:
        print(f"FAILED at {failure}")  # noqa: T201
        return 1
    except (OSError, UnicodeDecodeError) as error:
        print(f"cannot read {arguments[0]}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    count = last - first + 1 if first else 0
    print(f"OK: {count} events, seq {first} to {last}, last hash {head}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
