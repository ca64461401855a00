"""`manage.py user`: add, list, deactivate, reset-mfa, import. Thin over accounts.provision and spool.queue.people."""

import json
import secrets
from argparse import SUPPRESS, ArgumentParser
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import importing, provision
from accounts.enums import Role
from accounts.models import User
from accounts.provision import ProvisionError
from audit.escape import escape
from audit.operator import operator
from spool.management.reading import line_of_stdin, text_of
from spool.management.rows import line
from spool.queue import people

Entry = dict[str, Any]
WORDS = ("email", "name", "role", "active", "factor", "mailbox", "note", "password", "otpauth", "invite")


def _reasoned(parser: ArgumentParser) -> None:
    parser.add_argument("email", help="of the person")
    parser.add_argument("--reason", required=True, help="kept in the audit log")


class Command(BaseCommand):
    help = "People: add, list, deactivate, reset their second factor, import from CSV."

    def add_arguments(self, parser: ArgumentParser) -> None:
        # On both levels, so that --json may stand before or after the action; left out below, it overwrites nothing.
        parser.add_argument("--json", action="store_true", help="print JSON")
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="make a person and their mailbox")
        add.add_argument("email", help="logs in with it; in a protected domain it becomes a mailbox")
        add.add_argument("--name", default="", help="as others see it")
        add.add_argument("--role", choices=Role.values, default=Role.EMPLOYEE.value, help="default: employee")
        add.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
        add.add_argument("--totp", action="store_true", help="enrol an app and print its otpauth URI once")
        _reasoned(actions.add_parser("deactivate", help="close an account; sessions end at once"))
        _reasoned(actions.add_parser("reset-mfa", help="take all factors away and print a new enrolment link"))
        bring = actions.add_parser("import", help="make people from CSV: email, name, role")
        bring.add_argument("file", type=Path, help="UTF-8, commas or semicolons; the first line names the columns")
        shown = actions.add_parser("list", help="everybody")
        shown.add_argument("--drills", action="store_true", help="those of drills that are over, too")
        for action in actions.choices.values():
            action.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        act = getattr(self, f"do_{options['action'].replace('-', '_')}")
        try:
            with operator():
                entries: list[Entry] = act(**options)
        except ProvisionError as error:
            raise CommandError(escape(str(error))) from error
        if options["json"]:
            whole = options["action"] in {"list", "import"}
            self.stdout.write(json.dumps(entries if whole else entries[0], indent=2))
            return
        for entry in entries:
            self.stdout.write(line({word: entry.get(word) for word in WORDS}))

    def do_add(self, **options: Any) -> list[Entry]:
        now = timezone.now()
        password = line_of_stdin("the password") if options["password_stdin"] else None
        shown = None
        if options["totp"] and password is None:
            password = shown = secrets.token_urlsafe(18)
        role = Role(options["role"])
        user = provision.create_user(email=options["email"], name=options["name"], role=role, password=password)
        entry = self.with_mailbox(user) | ({"password": shown} if shown else {})
        if options["totp"]:
            return [entry | {"otpauth": provision.enrol_totp(user).uri}]
        return [entry | {"invite": provision.invite(user, now=now)}]

    def do_list(self, **options: Any) -> list[Entry]:
        users = User.objects.order_by("email").prefetch_related("mailboxes")
        if not options["drills"]:
            users = users.exclude(is_drill=True, is_active=False)  # somebody of a drill who can log in is always shown
        return [
            {
                "email": user.email,
                "name": user.name,
                "role": user.role,
                "active": user.is_active,
                "factor": provision.has_factor(user),
                "mailbox": ", ".join(sorted(mailbox.address for mailbox in user.mailboxes.all())) or None,
            }
            for user in users
        ]

    def do_deactivate(self, **options: Any) -> list[Entry]:
        user = provision.find(options["email"])
        provision.deactivate(user, reason=options["reason"])
        return [{"email": user.email, "active": False}]

    def do_reset_mfa(self, **options: Any) -> list[Entry]:
        user = provision.find(options["email"])
        provision.reset_mfa(user, reason=options["reason"])
        invite = provision.invite(user, now=timezone.now()) if user.is_active else None
        return [{"email": user.email, "factor": False, "invite": invite}]

    def do_import(self, **options: Any) -> list[Entry]:
        imported = importing.import_people(StringIO(text_of(options["file"]), newline=""))
        now = timezone.now()
        made = [self.with_mailbox(user) | {"invite": provision.invite(user, now=now)} for user in imported.created]
        return made + [{"email": email, "note": "exists already, left as it is"} for email in imported.skipped]

    def with_mailbox(self, user: User) -> Entry:
        mailbox = people.give_mailbox(user, now=timezone.now())
        entry = {"email": user.email, "role": user.role, "mailbox": mailbox.address if mailbox else None}
        if mailbox is None:
            entry["note"] = f"no mailbox: {people.why_without(user)}"
        return entry
