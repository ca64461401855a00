"""Plays the drill with a real Postfix as the primary: `python -m tests.faults.postfix_drill --messages N`."""

import argparse
import sys
import tempfile
from pathlib import Path

import django


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200)
    options = parser.parse_args()
    django.setup()
    from django.conf import settings

    from einbox import first_start
    from einbox.drill.run import Plan, run
    from einbox.drill.stage import set_up
    from tests.doubles.postfix import Postfix

    first_start.prepare_home(settings.HOME)
    first_start.migrate()
    first_start.collect_static()
    with tempfile.TemporaryDirectory(prefix="einbox-postfix-") as directory:
        with set_up(Path(directory), Postfix) as stage:
            ledger = run(stage, Plan(messages=options.messages), say=lambda line: print(line, file=sys.stderr))
            files = len(stage.primary.kept())
        print(f"{files} mailbox files, {ledger.to_primary + ledger.delivered} expected, lost {ledger.lost}")
        print(ledger.to_json(), file=sys.stderr)
        return 0 if ledger.ok and files == ledger.to_primary + ledger.delivered else 1


if __name__ == "__main__":
    sys.exit(main())
