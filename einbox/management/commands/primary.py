"""`manage.py primary`: the demo's simulated mail server, and its switch."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from einbox.process import listens
from einbox.simulation import primary, switch
from einbox.simulation.organisation import exists, primary_address

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
        if action == "status" and state == "on" and not listens(primary_address().port):
            self.stdout.write("Nothing listens there: it runs as part of `manage.py up`.")
