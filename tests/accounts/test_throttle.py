"""Counters in the database: atomic among threads, silent about their subjects, one event a window."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts import limits, throttle
from accounts.models import Throttle
from accounts.throttle import Refused, Taken
from tests.accounts.parallel import at_once

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
BUSY = limits.Limit("busy", most=7, window=300, free=7)


@pytest.mark.django_db(transaction=True)
def test_parallel_tries_never_pass_the_limit() -> None:
    counters = [throttle.counter(BUSY, "a"), throttle.counter(limits.EVERYBODY, "")]
    results = at_once(lambda number: throttle.take(counters[:: 1 if number % 2 else -1], now=NOW), threads=16)
    assert sum(isinstance(result, Taken) for result in results) == BUSY.most


@pytest.mark.django_db
def test_a_refused_try_counts_nowhere() -> None:
    tight = limits.Limit("tight", most=1, window=300, free=1)
    both = [throttle.counter(tight, "a"), throttle.counter(BUSY, "a")]
    for _ in range(20):
        throttle.take(both, now=NOW)
    others = [throttle.take([throttle.counter(BUSY, "a")], now=NOW) for _ in range(7)]
    assert sum(isinstance(result, Taken) for result in others) == BUSY.most - 1


@pytest.mark.django_db
def test_the_first_refusal_of_a_window_is_marked() -> None:
    counters = [throttle.counter(BUSY, "a")]
    results = [throttle.take(counters, now=NOW + timedelta(seconds=number)) for number in range(20)]
    refused = [result for result in results if isinstance(result, Refused)]
    assert [result.first for result in refused] == [True] + [False] * (len(refused) - 1)


@pytest.mark.django_db
def test_a_key_does_not_hold_what_was_typed() -> None:
    throttle.take([throttle.counter(limits.ACCOUNT, "correct horse battery staple")], now=NOW)
    assert "horse" not in Throttle.objects.get().key


@pytest.mark.django_db
def test_counters_out_of_reach_are_deleted() -> None:
    throttle.take([throttle.counter(BUSY, "old")], now=NOW - timedelta(days=3))
    throttle.take([throttle.counter(BUSY, "new")], now=NOW)
    assert throttle.purge(now=NOW) == 1
    assert Throttle.objects.count() == 1
