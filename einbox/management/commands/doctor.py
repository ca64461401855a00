"""`manage.py doctor`: what would fail on the day; exit 1 when something would."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from einbox import canary
from einbox.doctor.examination import examine
from einbox.finding import FAIL, Finding
from einbox.first_start import why_unusable


class Command(BaseCommand):
    help = "Check what would fail on the day: keys and their copy, clock, disk, TLS, primary, people, drill, queue."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--send-canary", action="store_true", help="send one message of our own to each primary")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        reason = why_unusable()
        findings = [Finding("database", FAIL, reason)] if reason else examine(now=timezone.now())
        if options["send_canary"] and not reason:
            findings += canary.send(now=timezone.now())
        failed = sum(finding.state == FAIL for finding in findings)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not failed, "findings": [asdict(item) for item in findings]}))
        else:
            for item in findings:
                self.stdout.write(f"{item.state:<4}  {item.check:<22} {item.sentence}")
            self.stdout.write(f"{failed} of {len(findings)} would fail on the day." if failed else "Ready for the day.")
        if failed:
            raise SystemExit(1)
