"""`manage.py mailbox add|alias|member|import|list|remove|restore|forget`: the addresses that may receive."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models.user import User
from audit.escape import escape
from audit.operator import operator
from spool.management.reading import text_of
from spool.management.rows import print_rows
from spool.models import LearnedAddress, Mailbox
from spool.queue import learned, mailboxes
from spool.queue.learned import LearnedError
from spool.queue.mailboxes import MailboxError


class Command(BaseCommand):
    help = "Mailboxes: add, alias, member, import, list, remove, restore, forget."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        add = acts.add_parser("add", help="make a mailbox in a protected domain")
        add.add_argument("address", help="that it receives for")
        add.add_argument("--shared", action="store_true", help="read by members instead of one person")
        add.add_argument("--name", default="", help="as people see it")
        self._add_changes(acts)
        bring = acts.add_parser("import", help="make mailboxes from CSV: address, name, kind, aliases, members")
        bring.add_argument("file", type=Path, help="UTF-8, commas or semicolons; the first line names the columns")
        for act, what in (("remove", "receive no longer"), ("restore", "receive again, for the same people")):
            one = acts.add_parser(act, help=what)
            one.add_argument("address", help="of the mailbox")
            one.add_argument("--reason", required=True, help="kept in the audit log")
        one = acts.add_parser("forget", help="an address learned from the primary")
        one.add_argument("address", help="as `list --learned` shows it")
        one = acts.add_parser("list", help="all mailboxes")
        one.add_argument("--learned", action="store_true", help="what the primary took mail for")
        one.add_argument("--drills", action="store_true", help="those of drills that are over, too")
        for one in acts.choices.values():
            one.add_argument("--json", action="store_true", help="print JSON")

    @staticmethod
    def _add_changes(acts: Any) -> None:
        one = acts.add_parser("alias", help="a further address, or @DOMAIN for all that nobody else receives")
        one.add_argument("address", help="of the mailbox")
        one.add_argument("alias", help="that it shall receive for, too")
        one.add_argument("--remove", action="store_true", help="take it away")
        one = acts.add_parser("member", help="let a person read and answer a shared mailbox")
        one.add_argument("address", help="of the mailbox")
        one.add_argument("email", help="of the person")
        one.add_argument("--remove", action="store_true", help="let them no longer")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with operator():
                shown = self._act(options)
        except (MailboxError, LearnedError) as error:
            raise CommandError(escape(str(error))) from error
        if options["act"] == "import" and options["json"]:
            self.stdout.write(json.dumps(shown[0]))  # one object: what was made, what was there
        else:
            print_rows(self.stdout, shown, as_json=options["json"])

    def _act(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        now = timezone.now()
        match options["act"]:
            case "add":
                made = mailboxes.add(options["address"], shared=options["shared"], name=options["name"], now=now)
                return [self._row(made)]
            case "alias":
                address, alias = options["address"], options["alias"]
                if address.startswith("@"):  # a catch-all, in the order in which Postfix writes it
                    address, alias = alias, address
                box = mailboxes.get(address)
                change = mailboxes.remove_alias if options["remove"] else mailboxes.add_alias
                change(box, alias, now=now)
                return [self._row(box)]
            case "member":
                box = mailboxes.get(options["address"])
                act = mailboxes.remove_member if options["remove"] else mailboxes.add_member
                act(box, self._user(options["email"]), now=now)
                return [self._row(box)]
            case "remove":
                box = mailboxes.get(options["address"])
                erased = mailboxes.remove(box, reason=options["reason"], now=now)
                return [{"address": box.address, "removed": True, "erased": erased}]
            case "restore":
                box = mailboxes.get(options["address"])
                mailboxes.restore(box, reason=options["reason"], now=now)
                box.refresh_from_db()
                return [self._row(box)]
            case "forget":
                learned.remove(options["address"], now=now)
                return [{"address": options["address"], "forgotten": True}]
            case "list" if options["learned"]:
                return [self._learned_row(row) for row in learned.listed()]
            case "import":
                return [self._import(options["file"])]
        return [self._row(box) for box in mailboxes.listed(drills=options["drills"])]

    @staticmethod
    def _learned_row(row: LearnedAddress) -> dict[str, Any]:
        return {"address": row.address, "learned_at": row.learned_at, "confirmed_at": row.confirmed_at}

    def _import(self, path: Path) -> dict[str, Any]:
        done = mailboxes.import_csv(StringIO(text_of(path), newline=""), now=timezone.now())
        return {"created": list(done.created), "skipped": list(done.skipped)}

    def _user(self, email: str) -> User:
        user = User.objects.filter(email=email.lower()).first()
        if user is None:
            message = f"There is no person {email}."
            raise CommandError(message)
        return user

    def _row(self, box: Mailbox) -> dict[str, Any]:
        return {
            "address": box.address,
            "kind": box.kind,
            "name": box.name,
            "user": box.user.email if box.user else None,
            "aliases": sorted(box.aliases.values_list("address", flat=True)),
            "members": sorted(box.members.values_list("user__email", flat=True)),
            "active": box.is_active,
        }
