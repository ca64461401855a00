"""`manage.py outage list|open|close|schedule|announce`: outages by people's word."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.context import current
from audit.escape import escape
from audit.operator import operator
from spool.enums import OutageKind
from spool.management.rows import print_rows
from spool.models import Outage, PlannedOutage, Route
from spool.queue import outage, queries, scope
from spool.queue.outage import OutageError

WHEN = "ISO 8601, such as 2027-01-30T22:00+01:00; without a zone it is in EINBOX_TIME_ZONE. Shown in UTC."

ACTS = {
    "open": "take mail from now on, whatever the probes of the primary say",
    "close": "hand the mail back, or call the next planned outage off",
    "schedule": "open an outage at a time to come",
    "announce": "tell people about an open outage",
}


def moment(text: str) -> datetime:
    """An ISO 8601 time; without a zone it is in EINBOX_TIME_ZONE. Raises ValueError."""
    parsed = parse_datetime(text)
    if parsed is None:
        raise ValueError(text)
    return parsed if timezone.is_aware(parsed) else timezone.make_aware(parsed)


def route_named(name: str) -> Route:
    """By the name of a protected domain or of a route. Raises CommandError."""
    there = Route.objects.exclude(scope.gone())
    route = there.filter(domains__name=name.lower()).first() or there.filter(name=name).first()
    if route is None:
        message = f"{name} is not a protected domain."
        raise CommandError(message)
    return route


class Command(BaseCommand):
    help = "Outages: list, open, close, schedule, announce."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        one = acts.add_parser("list", help="open and planned ones; counts are of deliveries")
        one.add_argument("--all", action="store_true", help="closed ones too")
        one.add_argument("--drills", action="store_true", help="those of drills that are over, too")
        for act, what in ACTS.items():
            one = acts.add_parser(act, help=what)
            one.add_argument("domain", help="a protected one")
            if act == "announce":
                one.add_argument("text", help="shown until the outage ends")
            else:
                one.add_argument("--reason", required=True, help="kept in the audit log")
            if act == "schedule":
                one.add_argument("--from", dest="starts_at", type=moment, required=True, metavar="TIME", help=WHEN)
            if act in ("open", "schedule"):
                one.add_argument("--until", type=moment, metavar="TIME", help=f"end by itself then. {WHEN}")
        for one in acts.choices.values():
            one.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with operator():
                rows = getattr(self, f"_{options['act']}")(options, timezone.now())
        except OutageError as error:
            raise CommandError(escape(str(error))) from error
        print_rows(self.stdout, rows, as_json=options["json"])

    def _list(self, options: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
        outages = Outage.objects.select_related("route").order_by("-opened_at")
        if not options["all"]:
            outages = outages.filter(closed_at__isnull=True)
        if not options["drills"]:
            outages = outages.exclude(route__domains__in=scope.past_drills())
        plans = PlannedOutage.objects.select_related("route").order_by("starts_at")
        return [self._plan(plan) for plan in plans] + [self._row(each) for each in outages]

    def _open(self, options: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
        route = route_named(options["domain"])
        found = queries.open_outage_of(route)
        opened = outage.open_outage(
            route, kind=OutageKind.DECLARED, reason=options["reason"], now=now, until=options["until"]
        )
        if found is not None and found.kind == OutageKind.DETECTED:
            self.stderr.write("The outage that probes had found is a declared one now.")
        self.stderr.write(outage.how_it_ends(opened))
        return [self._row(opened)]

    def _close(self, options: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
        """The open outage; without one, the next planned one is called off."""
        route = route_named(options["domain"])
        running = queries.open_outage_of(route)
        if running is not None:
            return [self._row(outage.close_outage(running, reason=options["reason"], now=now))]
        plan = PlannedOutage.objects.filter(route=route).order_by("starts_at").first()
        if plan is None:
            message = f"{route.name} has no open outage."
            raise CommandError(message)
        row = self._plan(plan)
        outage.cancel_plan(plan, reason=options["reason"], now=now)
        return [row | {"state": "cancelled"}]

    def _schedule(self, options: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
        plan = outage.schedule_outage(
            route_named(options["domain"]),
            starts_at=options["starts_at"],
            until=options["until"],
            reason=options["reason"],
            now=now,
        )
        return [self._plan(plan)]

    def _announce(self, options: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
        running = queries.open_outage_of(route_named(options["domain"]))
        if running is None:
            message = f"{options['domain']} has no open outage."
            raise CommandError(message)
        outage.announce(running, options["text"], by=current().actor.label, now=now)
        return [self._row(running)]

    @staticmethod
    def _plan(plan: PlannedOutage) -> dict[str, Any]:
        return {
            "route": plan.route.name,
            "kind": "planned",
            "state": "to come",
            "starts_at": plan.starts_at.astimezone(UTC),  # as the list of them, whatever zone was typed
            "until": plan.until and plan.until.astimezone(UTC),
            "reason": plan.reason,
        }

    @staticmethod
    def _row(row: Outage) -> dict[str, Any]:
        account = row.report or queries.account(outage=row).to_json()
        return {
            "route": row.route.name,
            "kind": row.kind,
            "state": "closed" if row.closed_at else Route.objects.values_list("state", flat=True).get(pk=row.route_id),
            "opened_at": row.opened_at,
            "down_at": row.down_at,
            "recovering_at": row.recovering_at,
            "closed_at": row.closed_at,
            "until": row.until and row.until.astimezone(UTC),
            "reason": row.reason,
            **{name: account[name] for name in ("accepted", "delivered", "held")},
        }
