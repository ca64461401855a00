"""`manage.py restore DIR`."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.operator import operator
from einbox.backup.manifest import BackupError
from einbox.backup.restore import restore
from einbox.first_start import StartError, only_one, prepare_home


class Command(BaseCommand):
    help = "Bring back a backup into an empty installation that holds its keys."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path, help="the one that `backup` made")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, directory: Path, **options: Any) -> None:
        directory = directory.absolute()
        try:
            prepare_home(settings.HOME)
            with only_one(settings.HOME, "restore"), operator():
                result = restore(directory, now=timezone.now())
        except BackupError as error:
            raise CommandError(str(error)) from error
        except StartError as error:
            message = f"Nothing was restored: {error}"
            raise CommandError(message) from error
        summary = {"directory": str(directory), "made_at": result.made_at, "counts": result.counts}
        text = f"Restored the state of {result.made_at}: {result.counts['messages']} messages. Start with `up`."
        self.stdout.write(json.dumps(summary) if options["json"] else text)
