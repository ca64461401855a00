"""Keys of events: unique and in order in a burst from many threads, and near the clock after it was set back."""

import threading
import time

import pytest
import time_machine

from audit.ids import EPOCH_MS, RANDOM_BITS, new_event_id

pytestmark = pytest.mark.pure


def milliseconds(key: int) -> int:
    return (key >> RANDOM_BITS) + EPOCH_MS


def test_a_burst_from_many_threads_makes_no_key_twice_and_keeps_each_threads_order() -> None:
    made: list[list[int]] = [[] for _ in range(8)]
    workers = [
        threading.Thread(target=lambda mine=mine: mine.extend(new_event_id() for _ in range(5000))) for mine in made
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({key for mine in made for key in mine}) == 40_000
    assert all(mine == sorted(mine) for mine in made)


def test_a_clock_set_back_does_not_hold_keys_in_the_future() -> None:
    with time_machine.travel("2080-01-01T00:00:00Z", tick=False):
        assert milliseconds(new_event_id()) > time.time_ns() // 1_000_000 - 10
    assert abs(milliseconds(new_event_id()) - time.time_ns() // 1_000_000) < 2000
