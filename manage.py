#!/usr/bin/env python
"""Command-line entry of einbox: `python manage.py help` lists the commands."""

import os
import sqlite3
import sys

SERVICES = frozenset({"web", "smtpd", "worker", "beat", "watch"})
HELP = frozenset({"-h", "--help", "--version"})


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - said in a sentence to whoever runs it with an older one
        sys.exit("einbox needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "einbox.settings")
    try:
        from django.core.management import execute_from_command_line  # noqa: PLC0415 - settings come first
        from django.db import DatabaseError  # noqa: PLC0415

        from audit.escape import UNSAFE, UNSTORABLE  # noqa: PLC0415
        from einbox import without_settings  # noqa: PLC0415
        from einbox.env import SettingsError  # noqa: PLC0415
    except ImportError as error:
        sys.exit(f"{error.name or error} is not installed; `make run` and `make manage` install what einbox needs.")
    if any(UNSAFE.search(word) or UNSTORABLE.search(word) for word in sys.argv):
        sys.exit("einbox: an argument holds a line break or another character that cannot be shown.")
    if (answer := without_settings.answer(sys.argv[1:])) is not None:
        print(answer)  # noqa: T201
        return
    try:
        if sys.argv[1:2] and sys.argv[1] in SERVICES and not HELP.intersection(sys.argv):
            from einbox.first_start import refuse_unprepared  # noqa: PLC0415 - needs the settings

            refuse_unprepared(sys.argv[1])
        execute_from_command_line(sys.argv)
    except SettingsError as error:
        sys.exit(f"einbox cannot start: {error}")
    except (DatabaseError, sqlite3.Error):
        from einbox.first_start import why_unusable  # noqa: PLC0415 - needs the settings

        if reason := why_unusable():
            sys.exit(reason)
        raise


if __name__ == "__main__":
    main()
