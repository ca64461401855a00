"""The worker process in its two shapes: embedded (threads, beat inside) and production (prefork).

The database holds the work; beat's sweeps find it, so nothing is lost with a broker or a worker.
"""

import sys
import warnings
from typing import Any

from celery.beat import EmbeddedService
from django.conf import settings

from einbox.celery import app

EMBEDDED_THREADS = 4
SCHEDULER = "celery.beat:Scheduler"  # keeps no file: every entry is a short interval


def is_embedded() -> bool:
    """Whether the broker lives in the worker's own memory, so that beat must live there too."""
    return str(settings.BROKER_URL).startswith("memory")


def run_worker(*, concurrency: int | None = None) -> None:
    """Work until SIGTERM (warm shutdown)."""
    # Said for pickled messages run as root; only JSON is accepted here (einbox.celery).
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    options: dict[str, Any] = {
        "without_gossip": True,
        "without_mingle": True,
        "loglevel": settings.LOG_LEVEL,
        "quiet": True,
    }
    if not is_embedded():
        worker = app.Worker(pool="prefork", concurrency=concurrency, optimization="fair", **options)
        worker.start()
        sys.exit(worker.exitcode)
    worker = app.Worker(pool="threads", concurrency=concurrency or EMBEDDED_THREADS, **options)
    beat: Any = EmbeddedService(app, thread=True, scheduler_cls=SCHEDULER)
    beat.start()
    try:
        worker.start()
    finally:
        beat.stop()
    sys.exit(worker.exitcode)


def run_beat() -> None:
    """The sweeps' clock for production; several are harmless, for every sweep is idempotent."""
    app.Beat(scheduler=SCHEDULER, loglevel=settings.LOG_LEVEL, quiet=True).run()
