"""Thin Celery entries: each rings one plain function of spool.queue. Messages carry ids or nothing."""

from celery import shared_task
from celery.signals import worker_process_shutdown, worker_shutting_down
from django.utils import timezone

import accounts.housekeeping
from spool.queue import drainsweep, parsing, purge


@shared_task
def ingest_sweep() -> None:
    """Read accepted mail that nobody has read yet."""
    parsing.sweep(now=timezone.now())


@shared_task
def drain_sweep() -> None:
    """Start a drain wherever mail is due and may go; drains run on in threads of their own."""
    drainsweep.sweep(now=timezone.now())


@shared_task
def housekeeping() -> None:
    """Expiry, safety copies, orphaned content; sessions that are over."""
    purge.housekeeping(now=timezone.now())
    accounts.housekeeping.sweep(now=timezone.now())


@worker_process_shutdown.connect
@worker_shutting_down.connect
def stop_drains(**_kwargs: object) -> None:
    """Finish what is under way, begin nothing."""
    drainsweep.stop_all()
