"""`manage.py watch`: probes, route states, visibility, sealing; several may run, one acts."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from audit.context import SYSTEM, acting
from spool.queue.watch import Watch


class Command(BaseCommand):
    help = "Watch the primaries: probe them and follow their state."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        with acting(SYSTEM, drill=bool(settings.DRILL_DOMAIN)):
            Watch(stop=stop).run()
