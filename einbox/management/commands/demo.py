"""`manage.py demo`: the demo's log-ins with the codes of this moment; `demo post` sends its mail once."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from einbox.simulation import guide, organisation, post


class Command(BaseCommand):
    help = "Show the demo's log-ins and codes, or send its mail (post)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", choices=("show", "post"), default="show")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if not organisation.exists():
            raise CommandError("There is no demo organisation here; EINBOX_DEMO=1 makes one in a new installation.")
        if action == "show":
            self.stdout.write(guide.text())
            return
        count = post.send(settings.SMTP)
        organisation.mail_sent_marker().touch(mode=0o600)
        self.stdout.write(f"einbox: {count} demo messages have arrived.")
