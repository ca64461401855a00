"""`manage.py drill`: one complete emergency on real SMTP traffic, with a ledger at the end."""

import json
import shutil
import signal
import sys
import tempfile
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.operator import operator
from einbox import first_start
from einbox.drill.ledger import Ledger
from einbox.drill.person import DrillPersonError
from einbox.drill.primary import Sink
from einbox.drill.run import Plan, acts_of_people, run
from einbox.drill.stage import DrillError, handling, set_up
from einbox.entry import STOPPED

LINES = (
    ("accepted", "accepted by einbox, one for each mail and recipient"),
    ("delivered", "delivered to the primary"),
    ("held", "held, in review included"),
    ("removed", "removed by security"),
    ("bounced", "bounced"),
    ("expired", "expired"),
    ("merged", "merged, offered twice by a sender"),
)


class Command(BaseCommand):
    help = "Play one complete emergency on loopback: primary dies, mail arrives, a person answers, all goes home."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--messages", type=int, default=200, help="mails sent while the primary is dead")
        parser.add_argument("--sessions", type=int, default=10, help="SMTP sessions at once")
        parser.add_argument("--seed", type=int, default=1, help="of the mails; the same one makes the same mails")
        parser.add_argument(
            "--pace", type=float, default=0, help="mails a second over all sessions; 0: as fast as they go"
        )
        parser.add_argument("--primary-delay", type=float, default=0, help="seconds the primary takes for a message")
        parser.add_argument("--keep", action="store_true", help="keep the drill's logs in the state directory")
        parser.add_argument("--json", action="store_true", help="print the ledger as JSON and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["messages"] <= 1_000_000 or not 1 <= options["sessions"] <= 200:
            raise CommandError("--messages must be from 1 to 1,000,000 and --sessions from 1 to 200.")
        if options["pace"] < 0 or options["primary_delay"] < 0:
            raise CommandError("--pace and --primary-delay are not negative.")
        first_start.prepare_home(settings.HOME)
        first_start.migrate()
        first_start.refuse_other_keys()
        first_start.collect_static()
        plan = Plan(**{name: options[name] for name in ("messages", "sessions", "seed", "pace")})
        logs = tempfile.mkdtemp(prefix="drill-", dir=settings.HOME)
        try:
            with (
                operator(),
                handling(signal.default_int_handler),
                set_up(Path(logs), partial(Sink, delay=options["primary_delay"])) as stage,
            ):
                ledger = run(stage, plan, say=self._progress(as_json=options["json"]))
                acts = acts_of_people(stage)
        except (DrillError, DrillPersonError) as error:
            message = f"The drill stopped: {error}. Its logs are in {logs}."
            raise CommandError(message) from error
        except KeyboardInterrupt:
            shutil.rmtree(logs, ignore_errors=True)
            self.stderr.write("The drill was stopped: its people, its mail and its outage are closed.")
            sys.exit(STOPPED)
        if options["json"]:
            self.stdout.write(json.dumps(ledger.to_json()))
        else:
            self._print(ledger, acts)
        if not ledger.ok:
            sys.exit(1)
        if not options["keep"]:
            shutil.rmtree(logs, ignore_errors=True)

    def _progress(self, *, as_json: bool) -> Any:
        stream = self.stderr if as_json else self.stdout

        def say(line: str) -> None:
            stream.write(f"drill: {line}")
            stream.flush()  # into a pipe or a file too: whoever waits sees how far it is

        return say

    def _print(self, ledger: Ledger, acts: list[str]) -> None:
        write = self.stdout.write
        write("\nWho did what (from the audit log)")
        for act in acts:
            write(f"  {act}")
        write("\nLedger")
        for sign, (name, words) in zip(" =+++++", LINES, strict=True):
            write(f"  {sign} {getattr(ledger, name):>7,}  {words}")
        write(f"\n  lost {ledger.lost}, duplicated {ledger.duplicated}, ambiguous attempts {ledger.ambiguous}")
        write(
            f"  noticed after {ledger.seconds_to_detect} s, first mail visible after "
            f"{ledger.seconds_to_first_visible} s, drained {ledger.drain_messages_per_second}/s"
        )
        write("  It adds up." if ledger.ok else "  It does NOT add up: " + "; ".join(ledger.problems))
