"""What `manage.py` answers before there are settings: its commands, its version, fresh keys for settings to be written.

Touches nothing: no file, no database.
"""

from collections.abc import Sequence

from django import get_version

from einbox import __version__
from einbox.keys import new_field_key, new_secret_key

# Under headings, in the order in which somebody needs them.
COMMANDS = {
    "Run": {
        "up": "everything as one process tree",
        "web": "the pages alone",
        "smtpd": "the SMTP server alone",
        "worker": "what reads and delivers mail, alone",
        "beat": "what rings the sweeps, alone",
        "watch": "what probes the primaries and seals the log, alone",
    },
    "Set up": {
        "domain": "protected domains, their primaries, their signing keys",
        "user": "people and their factors",
        "mailbox": "addresses, shared mailboxes, who reads them",
        "keys": "the recovery sheet, fresh keys, rotation",
        "doctor": "what would fail on the day",
        "drill": "one complete emergency, with a ledger at the end",
    },
    "On the day": {
        "outage": "see, open, close, plan and announce outages",
        "queue": "the spool: list, hold, release, retry, redeliver, end",
    },
    "Keep": {
        "backup": "copy database and content, never the keys",
        "restore": "bring a backup back into an empty installation",
        "audit": "verify and export the log",
    },
    "Try": {
        "demo": "log-ins of the demo organisation, and its mail",
        "primary": "switch the demo's mail server on or off",
    },
    "Of Django": {
        "migrate": "bring the database up to date; `up` does it by itself",
        "collectstatic": "gather the static files; `up` does it by itself",
        "shell": "Python with einbox's models",
    },
}


def _help() -> str:
    lines = [f"einbox {__version__}. `manage.py help COMMAND` says more about one of them."]
    for heading, commands in COMMANDS.items():
        lines += ["", heading, *(f"  {name:<14} {what}" for name, what in commands.items())]
    return "\n".join(lines)


def answer(arguments: Sequence[str]) -> str | None:
    """The text to print, or None when the command needs settings."""
    match list(arguments):
        case [] | ["help" | "--help" | "-h"]:
            return _help()
        case ["--version"]:
            return f"einbox {__version__} (Django {get_version()})"
        case ["keys", "new"]:
            return new_field_key()
        case ["keys", "secret"]:
            return new_secret_key()
    return None
