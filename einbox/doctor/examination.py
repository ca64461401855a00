"""All checks, in the order in which one would mend what they find."""

from collections.abc import Callable, Iterator
from datetime import datetime

from django.db import DatabaseError

from einbox.doctor import history, keys, machine, parts, people, ways
from einbox.finding import FAIL, Finding

Check = Callable[[datetime], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    parts.processes,
    machine.durability,
    keys.copy_of_keys,
    keys.sealed,
    machine.clock,
    machine.disk,
    machine.certificates,
    ways.primaries,
    ways.ways_out,
    ways.names,
    ways.signatures,
    people.people,
    history.history,
    history.queue,
)


def examine(*, now: datetime) -> list[Finding]:
    """Every finding; what the database does not tell is one, too."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += check(now)
        except DatabaseError as error:
            findings.append(Finding(check.__name__, FAIL, f"The database cannot be asked ({error})."))
    return findings
