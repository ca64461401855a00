"""`manage.py beat`: one process, for one container or unit."""

from typing import Any

from django.core.management.base import BaseCommand

from einbox.worker import run_beat


class Command(BaseCommand):
    help = "Ring the sweeps; needed once beside workers on Redis."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        run_beat()
