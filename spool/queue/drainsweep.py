"""The sweep that starts drains: a thread for each route and direction where mail is due, and their end.

Knows which drains run in this process. Carries no mail and claims none; that is spool.queue.drain.
"""

import logging
import threading
import time
from datetime import datetime

from django.db import DatabaseError, connection

from spool.enums import Direction
from spool.models import Route
from spool.queue import claim, scope
from spool.queue.drain import Drain
from spool.queue.routing import next_hop

log = logging.getLogger(__name__)

_running: dict[tuple[int, Direction], tuple[threading.Thread, threading.Event]] = {}
_lock = threading.Lock()


def sweep(*, now: datetime) -> int:
    """Start a drain, in a thread of its own, wherever mail is due and may go. Returns how many were started.

    A hanging primary so delays nobody else's mail, and no Celery task ever carries mail.
    """
    claim.recover(now=now)
    started = 0
    for route in scope.routes().prefetch_related("hosts"):
        claim.pull_in(route, now=now)
        for direction in Direction:
            if next_hop(route, direction) and claim.due(route, direction, now=now).exists():
                started += _start(route, direction)
    return started


def _start(route: Route, direction: Direction) -> bool:
    key = (route.pk, direction)
    with _lock:
        known = _running.get(key)
        if known and known[0].is_alive():
            return False
        stop = threading.Event()
        thread = threading.Thread(target=_run, args=(Drain(route, direction, stop=stop),), daemon=True, name="drain")
        _running[key] = (thread, stop)
        thread.start()
    return True


def _run(drain: Drain) -> None:
    try:
        tally = drain.run()
        if tally.total:
            log.info("drained %s %s: %s", drain.route.name, drain.direction.value, tally)
    except DatabaseError as error:
        log.warning("the drain of %s stopped: %s", drain.route.name, type(error).__name__)
    except Exception:
        log.exception("the drain of %s stopped", drain.route.name)
    finally:
        connection.close()


def stop_all(*, seconds: float = 4.0) -> None:
    """Ask every drain of this process to stop after its round, and wait that long."""
    deadline = time.monotonic() + seconds
    with _lock:
        known = list(_running.values())
    for _thread, stop in known:
        stop.set()
    for thread, _stop in known:
        thread.join(max(0.0, deadline - time.monotonic()))
