"""`manage.py backup DIR`."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.operator import operator
from einbox.backup.make import make
from einbox.backup.manifest import BackupError


class Command(BaseCommand):
    help = "Copy database and content, consistent under load, never the keys."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path, help="a new one; it is made")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, directory: Path, **options: Any) -> None:
        directory = directory.absolute()
        try:
            with operator():
                result = make(directory, now=timezone.now())
        except BackupError as error:
            raise CommandError(str(error)) from error
        size = sum(octets for _, octets in result.files.values())
        summary = {"directory": str(directory), "files": len(result.files), "octets": size, "counts": result.counts}
        text = (
            f"Backup in {directory}: messages {result.counts['messages']}, files {len(result.files)}, octets {size}. "
            "It holds no key: without the keys of the recovery sheet it cannot be read."
        )
        self.stdout.write(json.dumps(summary) if options["json"] else text)
