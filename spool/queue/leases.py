"""Named rights to act, kept in the database and fenced by a growing token: several may run, one acts.

A holder that was stopped and wakes up late is caught by `fence` inside the transaction of what it wants to do.
Knows nothing of what the lease is for.
"""

import os
import socket
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction

from spool.models import Lease

# A lease that ends later than a fresh one was taken before the clock was set back: nobody waits for that hour to come.
CLOCK_SKEW = timedelta(seconds=60)


class LeaseLostError(Exception):
    """Somebody else holds it now, or it ran out."""


@dataclass(frozen=True)
class Held:
    """A lease that is ours until `until`; `token` is larger than any earlier holder's."""

    name: str
    holder: str
    token: int
    until: datetime


def holder_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@transaction.atomic
def acquire(name: str, *, seconds: float, now: datetime, holder: str = "") -> Held | None:
    """Take `name` for `seconds` if nobody holds it; None if somebody does. All takers of a name ask for as long."""
    until, holder = now + timedelta(seconds=seconds), holder or holder_name()
    lease = Lease.objects.select_for_update().filter(name=name).first()
    if lease is None:
        lease, made = Lease.objects.get_or_create(name=name, defaults={"holder": holder, "until": until, "token": 1})
        return Held(name, holder, lease.token, until) if made else None
    if now < lease.until <= until + CLOCK_SKEW:
        return None
    lease.holder, lease.until, lease.token = holder, until, lease.token + 1
    lease.save()
    return Held(name, holder, lease.token, until)


def renew(held: Held, *, seconds: float, now: datetime) -> Held:
    """Keep it for `seconds` from now. Raises LeaseLostError."""
    until = now + timedelta(seconds=seconds)
    mine = Lease.objects.filter(name=held.name, token=held.token, until__gt=now)
    if not mine.update(until=until):
        raise LeaseLostError(held.name)
    return replace(held, until=until)


def release(held: Held, *, now: datetime, pause: float = 0.0) -> None:
    """Give it back, after `pause` seconds in which nobody may take it. Losing it earlier is no error."""
    Lease.objects.filter(name=held.name, token=held.token).update(until=now + timedelta(seconds=pause))


def fence(held: Held, *, now: datetime) -> None:
    """Inside a transaction: nobody else may have taken it before this commits. Raises LeaseLostError."""
    mine = Lease.objects.select_for_update().filter(name=held.name, token=held.token, until__gt=now)
    if not mine.exists():
        raise LeaseLostError(held.name)
