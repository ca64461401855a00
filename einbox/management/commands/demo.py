"""`manage.py demo`: the demo's log-ins with the codes of this moment; `demo post` sends its mail once."""

import argparse
import smtplib
import socket
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from einbox.simulation import guide, organisation, post, switch
from spool.models import Outage

OUTAGE_SECONDS = 20.0
LOOK_SECONDS = 0.2


class Command(BaseCommand):
    help = "Show the demo's log-ins and codes, or send its mail (post)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", choices=("show", "post"), default="show", help="default: show")
        parser.add_argument("--starting", action="store_true", help=argparse.SUPPRESS)  # of `up`: it comes in a moment

    def handle(self, *args: Any, action: str, starting: bool, **options: Any) -> None:
        if not organisation.exists():
            raise CommandError("There is no demo organisation here; EINBOX_DEMO=1 makes one in a new installation.")
        if action == "show":
            self.stdout.write(guide.text())
            return
        if switch.is_on(settings.HOME) and not Outage.objects.filter(closed_at=None).exists():
            message = (
                "The simulated primary is on, so einbox asks senders to come back later (451). "
                "Switch it off first: `primary off`, then `demo post` again."
            )
            if not starting:
                raise CommandError(message)
            self.stdout.write(f"einbox: the demo's mail was not sent. {message}")
            return
        try:
            if not starting:
                socket.create_connection((settings.SMTP.host, settings.SMTP.port), timeout=5).close()
                self.stdout.write("einbox: waiting for the outage to be noticed, then sending.")
            self._wait_for_the_outage()
            count = post.send(settings.SMTP)
        except (OSError, smtplib.SMTPException) as error:
            message = (
                f"The demo's mail was not taken ({error}). einbox takes it while it runs (`up`) and the simulated "
                "primary is off (`primary off`)."
            )
            raise CommandError(message) from error
        organisation.mail_sent_marker().touch(mode=0o600)
        self.stdout.write(f"einbox: {count} demo messages have arrived.")

    def _wait_for_the_outage(self) -> None:
        """Until the probes have found the primary dead, so that the mail belongs to that outage and its report."""
        deadline = time.monotonic() + OUTAGE_SECONDS
        while time.monotonic() < deadline and not switch.is_on(settings.HOME):
            if Outage.objects.filter(closed_at=None).exists():
                return
            time.sleep(LOOK_SECONDS)
