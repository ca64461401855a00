"""`manage.py web`: one process, for one container or unit."""

from typing import Any

from django.core.management.base import BaseCommand

from einbox.webserver import serve


class Command(BaseCommand):
    help = "Serve the pages."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        serve()
