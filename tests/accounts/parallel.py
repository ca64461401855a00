"""Runs the same act in many threads at once, each with its own database connection."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def at_once(act: Callable[[int], T], *, threads: int) -> list[T]:
    """Results of `act(0)`, `act(1)`, … started together. An exception in a thread is raised here."""
    barrier = Barrier(threads)

    def run(number: int) -> T:
        try:
            barrier.wait(timeout=30)
            return act(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return [future.result(timeout=120) for future in [pool.submit(run, number) for number in range(threads)]]
