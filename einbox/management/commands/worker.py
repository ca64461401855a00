"""`manage.py worker`: one process, for one container or unit."""

from typing import Any

from django.core.management.base import BaseCommand

from einbox.worker import run_worker


class Command(BaseCommand):
    help = "Do the work of the queue: read, deliver, clean up."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        run_worker()
