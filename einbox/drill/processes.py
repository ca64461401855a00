"""Runs the drill's own web, smtpd, worker and watch as one process tree, beside a running product or alone.

Started by einbox.drill.run with the drill's addresses in its environment; ends when it is told to or when the
drill dies.
"""

import argparse
import os
from pathlib import Path

import django

from einbox.process import end_with
from einbox.supervisor import Supervisor


def main() -> None:
    """Supervise until SIGTERM. The process ids lie in the file given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    options = parser.parse_args()
    end_with(options.parent)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "einbox.settings")
    django.setup()
    from einbox import process_tree  # noqa: PLC0415 - needs the settings

    process_tree.load()
    Supervisor(process_tree.services(demo=False), options.state).run()


if __name__ == "__main__":
    main()
