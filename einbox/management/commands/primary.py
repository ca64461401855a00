"""`manage.py primary`: the demo's simulated mail server, and its switch."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from einbox.process import listens
from einbox.simulation import primary, switch
from einbox.simulation.organisation import exists, primary_address
from einbox.simulation.post import DOMAIN
from spool.models import Route
from spool.queue import outage, queries

ACTIONS = ("run", "on", "off", "status")


class Command(BaseCommand):
    help = "The demo's simulated primary: its state (no argument), switch it on or off; run is for `up`."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", choices=ACTIONS, default="status", help="default: status")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if not exists():
            raise CommandError("There is no demo organisation here; EINBOX_DEMO=1 makes one in a new installation.")
        if action == "run":
            primary.run(settings.HOME, primary_address())
            return
        if action != "status":
            switch.turn(settings.HOME, on=action == "on")
        state = "on" if switch.is_on(settings.HOME) else "off"
        self.stdout.write(f"The simulated primary on {primary_address()} is {state}.")
        if state == "on":
            self._say_what_holds_it_down()
        if action == "status" and state == "on" and not listens(primary_address().port):
            self.stdout.write("Nothing listens there: it runs as part of `manage.py up`.")

    def _say_what_holds_it_down(self) -> None:
        route = Route.objects.filter(domains__name=DOMAIN).first()
        running = queries.open_outage_of(route) if route else None
        if running is not None and outage.overrides(running, now=timezone.now()):
            kind = running.get_kind_display().lower()
            self.stdout.write(f"Its outage was {kind} by a person. {outage.how_it_ends(running)}")
