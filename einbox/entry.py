"""What `manage.py` does once the packages are there: one command, and its errors as sentences.

The services that `up` forks enter here, too. Runs nothing before the words of the command line were looked at.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Sequence

from django.core.management import execute_from_command_line
from django.db import DatabaseError

from audit.escape import UNSAFE, UNSTORABLE
from einbox import without_settings
from einbox.env import SettingsError

SERVICES = frozenset({"web", "smtpd", "worker", "beat", "watch"})
# Django's own, which would go round what einbox promises: pages without its web server, people without its rules.
NOT_HERE = {
    "runserver": "`up` serves the pages",
    "testserver": "`up` serves the pages",
    "createsuperuser": "`user add EMAIL --role admin` makes an admin",
    "changepassword": "`user reset-mfa EMAIL --reason TEXT` prints a link to enrol again",
    "flush": "a new EINBOX_HOME begins anew",
    "loaddata": "`restore` brings a backup back",
    "dumpdata": "`backup` makes a copy",
}
STOPPED = 128 + signal.SIGINT  # as shells say it
HELP = frozenset({"-h", "--help", "--version"})


def run(command_line: Sequence[str]) -> None:
    """Run the command `command_line[1]`. Raises SystemExit with a sentence for the operator."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "einbox.settings")
    if any(UNSAFE.search(word) or UNSTORABLE.search(word) for word in command_line):
        sys.exit("einbox: an argument holds a line break or another character that cannot be shown.")
    if command_line[1:2] and (instead := NOT_HERE.get(command_line[1])) and not HELP.intersection(command_line):
        sys.exit(f"einbox has no {command_line[1]}: {instead}.")
    if (answer := without_settings.answer(command_line[1:])) is not None:
        print(answer)  # noqa: T201
        return
    try:
        if command_line[1:2] and command_line[1] in SERVICES and not HELP.intersection(command_line):
            from einbox.first_start import refuse_unprepared  # noqa: PLC0415 - needs the settings

            refuse_unprepared(command_line[1])
        execute_from_command_line(list(command_line))
    except KeyboardInterrupt:  # Ctrl-C: whoever has something to clear up has done so
        sys.exit(STOPPED)
    except SettingsError as error:
        sys.exit(f"einbox cannot start: {error}")
    except (DatabaseError, sqlite3.Error):
        from einbox.first_start import why_unusable  # noqa: PLC0415 - needs the settings

        if reason := why_unusable():
            sys.exit(reason)
        raise
