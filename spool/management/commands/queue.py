"""`manage.py queue list|show|hold|release|retry|redeliver|bounce|remove`: the spool, as envelopes; never content."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from audit.escape import escape
from audit.operator import operator
from audit.record import record
from audit.tags import Tag
from spool.enums import UNFINISHED, DeliveryState
from spool.management.commands.outage import WHEN, moment
from spool.management.rows import line, print_rows
from spool.models import Delivery
from spool.queue import acts
from spool.queue.acts import ActError
from spool.queue.expiry import EXPIRES_SOON

MOST = 100_000  # rows of one list
ACTS = {
    "hold": (acts.hold, "keep deliveries from being tried"),
    "release": (acts.release, "end a hold, or try again what waits in review"),
    "retry": (acts.retry, "try again now what waits"),
    "redeliver": (acts.redeliver, "send what is finished once more, from its safety copy"),
    "bounce": (acts.bounce, "give up mail written here; its author is told"),
    "remove": (acts.remove, "withdraw mail; nobody is told"),
}
ID = "of a delivery, or of a message for all its deliveries"


def limit(text: str) -> int:
    """How many rows to show. Raises ValueError."""
    number = int(text)
    if not 1 <= number <= MOST:
        raise ValueError(text)
    return number


class Command(BaseCommand):
    help = "The spool: list, show, hold, release, retry, redeliver, bounce, remove."

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_subparsers(dest="act", required=True)
        one = kinds.add_parser("list", help="what waits, oldest first")
        one.add_argument("--domain", help="only mail of this one")
        one.add_argument("--state", choices=DeliveryState.values, help="default: all that is not finished")
        one.add_argument("--expiring", action="store_true", help="only what was warned of and will expire")
        one.add_argument("--limit", type=limit, default=100, help=f"rows, at most {MOST:,}; default: 100")
        kinds.add_parser("show", help="deliveries with every try").add_argument("id", nargs="+", help=ID)
        for act, (_act, what) in ACTS.items():
            one = kinds.add_parser(act, help=what)
            one.add_argument("id", nargs="*" if act == "redeliver" else "+", help=ID)
            one.add_argument("--reason", required=True, help="kept in the audit log")
            if act == "redeliver":
                one.add_argument("--domain", help="with --since: all that its primary took since then")
                one.add_argument("--since", type=moment, metavar="TIME", help=WHEN)
        for one in kinds.choices.values():
            one.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with operator(), transaction.atomic():  # all of what was named, or nothing
                rows = self._act(options, timezone.now())
        except ActError as error:
            raise CommandError(escape(str(error))) from error
        if options["json"]:
            print_rows(self.stdout, rows, as_json=True)
            return
        for row in rows:
            tries = row.pop("tries", [])
            self.stdout.write(line(row))
            for each in tries:
                self.stdout.write("    " + line(each))

    def _act(self, options: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
        act = options["act"]
        if act == "list":
            return self._list(options, now)
        deliveries = [delivery for public_id in options["id"] for delivery in acts.find(public_id)]
        if act == "show":
            return [self._row(delivery) | {"tries": self._tries(delivery)} for delivery in deliveries]
        if options.get("since"):
            if not options["domain"]:
                raise CommandError("--since needs --domain.")
            deliveries += acts.delivered_since(options["since"], domain=options["domain"])
        if not deliveries:
            raise CommandError("Nothing to act on: name an id.")
        for delivery in deliveries:
            ACTS[act][0](delivery, reason=options["reason"], now=now)
        return [self._row(Delivery.objects.select_related("message").get(pk=each.pk)) for each in deliveries]

    def _list(self, options: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
        rows = Delivery.objects.select_related("message").defer("message__content").order_by("pk")
        rows = rows.filter(state=options["state"]) if options["state"] else rows.filter(state__in=UNFINISHED)
        if options["expiring"]:
            rows = rows.filter(EXPIRES_SOON)
        if options["domain"]:
            rows = rows.filter(route__domains__name=options["domain"])
        shown = [self._row(delivery) for delivery in rows[: options["limit"]]]
        if len(shown) == options["limit"] and (count := rows.count()) > len(shown):
            more = f"; --limit {min(count, MOST)} shows more" if len(shown) < MOST else ""
            self.stderr.write(f"{len(shown):,} of {count:,} are shown{more}.")
        record(Tag.QUEUE_VIEWED, detail={"count": len(shown)}, at=now)
        return shown

    @staticmethod
    def _row(delivery: Delivery) -> dict[str, Any]:
        message = delivery.message
        return {
            "id": delivery.public_id,
            "message": message.public_id,
            "from": message.reverse_path or "<>",
            "to": delivery.forward_path,
            "subject": message.subject,
            "size": message.size,
            "state": delivery.state,
            "held": delivery.held,
            "accepted_at": delivery.created_at,
            "next_attempt_at": delivery.next_attempt_at if delivery.state == DeliveryState.QUEUED else None,
            "finished_at": delivery.finished_at,
            "expires_at": delivery.expires_at if delivery.state in UNFINISHED else None,
            "warnings": delivery.warned,
            "attempts": delivery.attempts,
            "code": delivery.last_code,
            "reply": delivery.last_reply,
            "reason": delivery.reason,
        }

    @staticmethod
    def _tries(delivery: Delivery) -> list[dict[str, Any]]:
        fields = ("number", "started_at", "finished_at", "host", "phase", "outcome", "code", "enhanced", "text")
        return list(delivery.tries.values(*fields))
