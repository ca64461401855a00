"""The Celery app: a doorbell for work that the database holds.

Messages carry ids or nothing; every task is idempotent; retry times live in the database (rule 3).
"""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "einbox.settings")

from django.conf import settings
from django.utils import timezone

SWEEP_SECONDS = 1.0
HEARTBEAT_SECONDS = 10.0

app = Celery("einbox")
app.conf.update(
    broker_url=settings.BROKER_URL,
    broker_transport_options=(
        {"polling_interval": 0.05}
        if settings.BROKER_URL.startswith("memory")
        else {
            # Without the two restore options a crashed worker's task comes back after about 100 s (kombu PR 2558).
            "visibility_timeout": 300,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "health_check_interval": 30,
            # A drill beside the running product rings its own doorbells.
            "global_keyprefix": f"{settings.DRILL_DOMAIN}:" if settings.DRILL_DOMAIN else "",
        }
    ),
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_acks_on_failure_or_timeout=True,
    task_soft_time_limit=120,
    task_time_limit=180,
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.05, "interval_max": 0.1},
    worker_prefetch_multiplier=1,
    worker_soft_shutdown_timeout=5,
    worker_max_tasks_per_child=None,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    timezone="UTC",
    beat_schedule={
        name: {"task": f"spool.tasks.{name}", "schedule": seconds, "options": {"expires": max(seconds, 2)}}
        for name, seconds in {
            "ingest_sweep": SWEEP_SECONDS,
            "drain_sweep": SWEEP_SECONDS,
            "housekeeping": 30.0,
        }.items()
    },
    beat_scheduler="celery.beat:Scheduler",  # in memory: every sweep may run twice, so nothing is worth a file
)
app.conf.beat_schedule["heartbeat"] = {
    "task": "einbox.heartbeat",
    "schedule": HEARTBEAT_SECONDS,
    "options": {"expires": HEARTBEAT_SECONDS},
}
app.autodiscover_tasks(["spool"])


@app.task(name="einbox.heartbeat")
def heartbeat() -> None:
    """A worker's sign of life for /readyz: it proves the whole way from beat through the broker to the database."""
    from spool.queue import heartbeats  # noqa: PLC0415 - the app is made before the models are loaded

    heartbeats.give(heartbeats.name_of("worker"), now=timezone.now())


@setup_logging.connect
def keep_our_logging(**_kwargs: object) -> None:
    """Stops Celery from replacing the configuration that einbox.logging made."""
