"""Signs of life: a row for each process, which takes it away when it ends well. Touches no other rows.

One that was killed cannot, and would look like one that hangs. So whoever gives a sign takes away what processes of
its service on this host left that are no more.
"""

import os
import socket
from datetime import datetime, timedelta

from django.db.models import Q

from spool.models import Heartbeat
from spool.queue import leases

FORGET_AFTER = timedelta(minutes=10)  # whatever it was, also on another host
QUIET = timedelta(seconds=15)  # longer than any service waits between two signs


def name_of(service: str) -> str:
    """This process."""
    return f"{service}:{leases.holder_name()}"


def give(name: str, *, now: datetime) -> None:
    """A sign of the process of this name. Raises DatabaseError."""
    service = name.partition(":")[0]
    Heartbeat.objects.update_or_create(name=name, defaults={"service": service, "at": now})
    _forget(service, now=now)


def withdraw(name: str) -> None:
    """It ends. Raises DatabaseError."""
    Heartbeat.objects.filter(name=name).delete()


def _forget(service: str, *, now: datetime) -> None:
    # Also those of a time to come: given before the clock was set back.
    quiet = Heartbeat.objects.filter(Q(at__lt=now - QUIET) | Q(at__gt=now + QUIET), service=service)
    rows = quiet.values_list("name", "at")
    if gone := [name for name, at in rows if abs(now - at) > FORGET_AFTER or _is_no_more(name, service)]:
        quiet.filter(name__in=gone).delete()  # if it is still so


def _is_no_more(name: str, service: str) -> bool:
    """Whether `name` was a process of this host, and none has its number now."""
    number = name.removeprefix(_prefix(service))
    if number == name or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):  # somebody else's; no number of a process
        pass
    return False


def _prefix(service: str) -> str:
    return f"{service}:{socket.gethostname()}:"
