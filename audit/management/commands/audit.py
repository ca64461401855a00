"""`manage.py audit`: verify the log, export it, seal what waits."""

import argparse
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.export import export
from audit.formats import FORMATS
from audit.operator import operator
from audit.sealing import seal
from audit.verification import Verdict, verify


def moment(text: str) -> datetime:
    """An ISO 8601 date or time; without a zone it is in the installation's."""
    try:
        at = parse_datetime(text) or datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is no ISO 8601 date or time, such as 2026-11-23T10:42:00Z"
        raise argparse.ArgumentTypeError(message) from error
    return at if timezone.is_aware(at) else timezone.make_aware(at)


class Command(BaseCommand):
    help = "Verify or export the audit log."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        check = acts.add_parser("verify", help="name the first event that fails, or events unsealed for > 10 s")
        check.add_argument("--json", action="store_true", help="print the verdict as one JSON object")
        out = acts.add_parser("export", help="print sealed events, one a line")
        out.add_argument("--since", type=moment, help="from the first event sealed at or after this time")
        out.add_argument("--format", choices=list(FORMATS), default="jsonl", help="default: jsonl")
        acts.add_parser("seal", help="seal what waits, when no watch process runs")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        with operator():
            self._act(act, options)

    def _act(self, act: str, options: dict[str, Any]) -> None:
        if act == "verify":
            self.report(verify(now=timezone.now()), as_json=options["json"])
        elif act == "export":
            for line in export(since=options["since"], form=options["format"], now=timezone.now()):
                self.stdout.write(line)
        else:
            total = 0
            while count := seal(now=timezone.now()):
                total += count
            self.stdout.write(f"Sealed {total} events.")

    def report(self, verdict: Verdict, *, as_json: bool) -> None:
        """Print the verdict; raises CommandError (exit 1) when it is bad."""
        if as_json:
            self.stdout.write(json.dumps(asdict(verdict) | {"ok": verdict.ok}))
        if verdict.broken_seq is not None:
            message = f"The chain breaks at event {verdict.broken_seq}: {verdict.cause}."
            raise CommandError(message)
        if verdict.unsealed:
            message = f"{verdict.unsealed} events unsealed for more than 10 s, the oldest is {verdict.unsealed_id}."
            raise CommandError(message)
        if not as_json:
            self.stdout.write(f"{verdict.checked} events verify; the last hash is {verdict.head_hash}.")
