"""Thin Celery entries: each rings one plain function of spool.queue. Messages carry ids or nothing."""

from celery import shared_task
from django.utils import timezone

from spool.queue import parsing


@shared_task
def ingest_sweep() -> None:
    """Read accepted mail that nobody has read yet."""
    parsing.sweep(now=timezone.now())
