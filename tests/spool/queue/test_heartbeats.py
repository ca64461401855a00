"""Rows of processes that are no more go; rows of those that hang, and of other hosts, stay for a while."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from spool.models import Heartbeat
from spool.queue import heartbeats

pytestmark = pytest.mark.django_db


def gave(name: str, *, seconds_ago: float) -> str:
    at = timezone.now() - timedelta(seconds=seconds_ago)
    return Heartbeat.objects.create(name=name, service=name.partition(":")[0], at=at).name


def process(number: int, service: str = "smtpd") -> str:
    """The name of a process of this host."""
    return heartbeats.name_of(service).replace(f":{os.getpid()}", f":{number}")


@contextmanager
def somebody() -> Iterator[int]:
    """A process that lives, until the block ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child.pid


def kept() -> set[str]:
    """What is there after a sign of this process, beside its own."""
    heartbeats.give(heartbeats.name_of("smtpd"), now=timezone.now())
    names = set(Heartbeat.objects.values_list("name", flat=True))
    return names - {heartbeats.name_of("smtpd")}


def test_a_process_that_hangs_keeps_its_row_until_it_is_no_more() -> None:
    with somebody() as number:
        hanging = gave(process(number), seconds_ago=60)
        assert kept() == {hanging}
    assert kept() == set()
    gave(process(number), seconds_ago=-60)  # before the clock was set back
    assert kept() == set()


def test_nobody_else_is_judged_by_the_numbers_of_this_host() -> None:
    with somebody() as number:
        pass  # a number that nobody has
    others = {
        gave(f"smtpd:elsewhere:{number}", seconds_ago=60),
        gave(process(number, "watch"), seconds_ago=60),
        gave(process(number), seconds_ago=5),  # perhaps of another container with this name
        gave("smtpd:elsewhere:x", seconds_ago=60),
        gave(process(2**70), seconds_ago=60),
    }
    assert kept() == others


def test_whoever_gave_no_sign_for_ten_minutes_is_forgotten() -> None:
    with somebody() as number:
        gave(process(number), seconds_ago=601)
        gave("smtpd:elsewhere:1", seconds_ago=601)
        gave("smtpd:elsewhere:2", seconds_ago=-601)  # before the clock was set back
        assert kept() == set()
