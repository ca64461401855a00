"""Limits kept in the database: taken before the work, given back when the try was right. Fails closed.

An error of the database is an error of the request: without a count nobody gets a try.
"""

import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from django.db import transaction

from accounts import crypto, limits
from accounts.limits import Limit, Tries
from accounts.models import Throttle

KEEP = timedelta(days=2)  # longer than the longest window


@dataclass(frozen=True)
class Counter:
    """One limit for one subject; `key` reveals nothing about the subject."""

    limit: Limit
    key: str


@dataclass(frozen=True)
class Taken:
    """A try that is allowed; hand it to `give_back` if it turns out right."""

    counters: tuple[Counter, ...]
    at: float


@dataclass(frozen=True)
class Refused:
    """Too many tries. `first` is true once a window: then an event is due."""

    wait: int  # whole seconds, at least 1
    first: bool


def counter(limit: Limit, subject: str) -> Counter:
    """A keyed hash, because people type passwords into the wrong field."""
    digest = hmac.digest(crypto.derive_key("throttle"), subject.encode("utf-8", "replace"), sha256)
    return Counter(limit, f"{limit.scope}:{digest[:16].hex()}")


def _locked(counters: Sequence[Counter], now: datetime) -> dict[str, Throttle]:
    keys = sorted({counter.key for counter in counters})
    Throttle.objects.bulk_create([Throttle(key=key, updated_at=now) for key in keys], ignore_conflicts=True)
    # One order for all callers, so that two of them never wait for each other.
    return {row.key: row for row in Throttle.objects.select_for_update().filter(key__in=keys).order_by("key")}


def _tries(row: Throttle) -> Tries:
    return Tries({int(number): tries for number, tries in row.slices.items()}, row.last_at)


def _save(row: Throttle, tries: Tries, now: datetime) -> None:
    row.slices = {str(number): count for number, count in tries.slices.items() if count}
    row.last_at = tries.last_at
    row.updated_at = now
    row.save()


@transaction.atomic
def take(counters: Sequence[Counter], *, now: datetime) -> Taken | Refused:
    """Count one try on every counter, or on none if one of them refuses."""
    moment = now.timestamp()
    rows = _locked(counters, now)
    waits = {item.key: limits.wait(item.limit, _tries(rows[item.key]), moment) for item in counters}
    slowest = max(counters, key=lambda item: waits[item.key])
    if waits[slowest.key] > 0:
        row = rows[slowest.key]
        first = moment - row.told_at >= slowest.limit.window
        if first:
            row.told_at = moment
            row.save(update_fields=["told_at"])
        return Refused(math.ceil(waits[slowest.key]), first)
    for item in counters:
        _save(rows[item.key], limits.taken(item.limit, _tries(rows[item.key]), moment), now)
    return Taken(tuple(counters), moment)


@transaction.atomic
def give_back(taken: Taken, *, now: datetime) -> None:
    rows = _locked(taken.counters, now)
    for item in taken.counters:
        _save(rows[item.key], limits.given_back(item.limit, _tries(rows[item.key]), taken.at), now)


def purge(*, now: datetime) -> int:
    """Delete counters that no window reaches any more; returns how many."""
    return Throttle.objects.filter(updated_at__lt=now - KEEP).delete()[0]
