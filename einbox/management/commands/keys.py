"""`manage.py keys`: the recovery sheet, its confirmation, fresh keys and rotation."""

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.operator import operator
from einbox import recovery_sheet, rotation
from einbox.first_start import StartError, only_one
from einbox.keys import new_field_key, new_secret_key
from spool.management.reading import line_of_stdin

ACTS = {
    "show": "print the recovery sheet",
    "confirm": "type in the fingerprint of a sheet that lies elsewhere",
    "new": "print a fresh field key",
    "secret": "print a fresh secret key",
    "rotate": "add a newest field key to the key file, then rewrap",
    "rewrap": "seal every secret under the newest field key",
}


class Command(BaseCommand):
    help = "Keys: the recovery sheet and its confirmation, fresh keys, rotation."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=ACTS, help="; ".join(f"{act}: {what}" for act, what in ACTS.items()))
        parser.add_argument("--fingerprint", help="from the sheet; asked for when absent")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        with operator():
            getattr(self, action)(options)

    def show(self, _options: dict[str, Any]) -> None:
        """Record first: a sheet that was printed is always in the log."""
        recovery_sheet.shown()
        self.stdout.write(recovery_sheet.sheet(now=timezone.now()), ending="")

    def confirm(self, options: dict[str, Any]) -> None:
        typed = options["fingerprint"]
        if typed is None:
            self.stdout.write("Fingerprint on the printed sheet: ", ending="")
            self.stdout.flush()
            typed = line_of_stdin("the fingerprint")
        try:
            recovery_sheet.confirm(typed)
        except recovery_sheet.FingerprintError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Confirmed: a copy of the keys exists outside this installation.")

    def new(self, _options: dict[str, Any]) -> None:
        """From the command line answered before there are settings (einbox.without_settings), like `secret`."""
        self.stdout.write(new_field_key())

    def secret(self, _options: dict[str, Any]) -> None:
        self.stdout.write(new_secret_key())

    def rotate(self, _options: dict[str, Any]) -> None:
        """Add a newest key to the key file and rewrap. Needs einbox stopped: its processes know only the old keys."""
        path = self._key_file()
        try:
            with only_one(settings.HOME, "keys rotate"):
                self.stdout.write(f"The newest key is now {rotation.add_key(path)}.")
        except StartError as error:
            message = f"No key was added: {error}"
            raise CommandError(message) from error
        self.stdout.flush()
        # A new process, for this one read the old keys when it started.
        os.execv(sys.executable, [sys.executable, sys.argv[0], "keys", "rewrap"])  # noqa: S606 - our own command

    def _key_file(self) -> Path:
        path = Path(settings.HOME) / "keys" / "field_keys"
        if not settings.EMBEDDED or settings.FIELD_KEYS_GIVEN or not path.exists():
            raise CommandError(
                "Here the keys come from EINBOX_FIELD_KEYS. Put the output of `keys new` in front of the old ones for "
                "every process, restart them all, then run `keys rewrap`."
            )
        return path

    def rewrap(self, _options: dict[str, Any]) -> None:
        count = rotation.rewrap()
        self.stdout.write(
            f"{count} secrets are now sealed under the newest key. Keep the old keys while backups need them. "
            "Print a new recovery sheet (keys show) and confirm it (keys confirm)."
        )
