"""Everything the page of one route shows: state with evidence, account, course, in words ready to print. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from spool.console.chart import NARROW, Moment, draw
from spool.console.figures import Course, course
from spool.enums import UNFINISHED, DeliveryState, RouteState
from spool.models import Delivery, Outage, Route, RouteChange
from spool.queue import queries
from spool.queue.expiry import EXPIRES_SOON
from spool.queue.queries import Account, RouteStatus

WITHOUT = timedelta(hours=24)  # what the page covers when there was no outage
CHANGES = 12


@dataclass(frozen=True)
class Step:
    """One state of the timeline. `kind`: the state; `next`: not reached yet."""

    kind: str
    label: str
    at: datetime | None
    evidence: str
    current: bool = False


@dataclass(frozen=True)
class Episode:
    """One route and its open or last outage."""

    route: Route
    status: RouteStatus
    outage: Outage | None
    steps: tuple[Step, ...]
    received: int  # messages, as are `written`; the account counts deliveries
    written: int
    account: Account
    in_review: int
    expires_soon: int  # of the whole route: mail of every outage
    oldest: datetime | None
    course: Course
    drawings: tuple[SafeString, SafeString]  # wide and narrow; the page shows the one that fits
    headline: str
    second: str
    mark: str
    tint: str

    @property
    def is_open(self) -> bool:
        return self.outage is not None and self.outage.closed_at is None


def of(route: Route, *, now: datetime) -> Episode:
    """The open outage of the route, else its last one, else the last day."""
    status = queries.route_status(route, now=now)
    outage = status.outage or Outage.objects.filter(route=route).order_by("-opened_at").first()
    rows = queries.of_outage(outage) if outage else Delivery.objects.filter(route=route, created_at__gte=now - WITHOUT)
    start, end = (outage.opened_at, outage.closed_at or now) if outage else (now - WITHOUT, now)
    changes = _changes(route, outage)
    drawn = course(rows, start=start, end=end)
    waiting = rows.filter(state__in=UNFINISHED)
    headline, second = _words(status)
    received, written = queries.received_and_written(rows)
    return Episode(
        route=route,
        status=status,
        outage=outage,
        steps=_steps(route, outage, changes),
        received=received,
        written=written,
        account=queries.account(outage=outage) if outage else _account_of(rows),
        in_review=waiting.filter(state=DeliveryState.REVIEW).count(),
        expires_soon=Delivery.objects.filter(EXPIRES_SOON, route=route).count(),
        oldest=waiting.order_by("created_at").values_list("created_at", flat=True).first(),
        course=drawn,
        drawings=_drawings(drawn, _moments(changes)),
        headline=headline,
        second=second,
        mark={RouteState.UP: "healthy", RouteState.RECOVERING: "draining"}.get(status.state, "down"),
        tint="ok" if status.state in {RouteState.UP, RouteState.RECOVERING} and not route.held else "hold",
    )


def _drawings(drawn: Course, moments: list[Moment]) -> tuple[SafeString, SafeString]:
    label = _("New, held and finished deliveries over time")
    return draw(drawn, moments, label=label), draw(drawn, moments, label=label, width=NARROW)


def _account_of(rows: QuerySet[Delivery]) -> Account:
    held = rows.filter(state__in=UNFINISHED).count()
    counts = {state: rows.filter(state=state).count() for state in ("delivered", "removed", "bounced", "expired")}
    return Account(accepted=rows.count(), held=held, merged=0, **counts)


def _changes(route: Route, outage: Outage | None) -> list[RouteChange]:
    """The last changes of this episode, oldest first."""
    if outage is None:
        return []
    rows = RouteChange.objects.filter(route=route, at__gte=outage.opened_at)
    if outage.closed_at:
        rows = rows.filter(at__lte=outage.closed_at)
    return list(rows.order_by("-at", "-pk")[:CHANGES])[::-1]


def _steps(route: Route, outage: Outage | None, changes: list[RouteChange]) -> tuple[Step, ...]:
    steps = [
        Step(one.new, str(RouteState(one.new).label), one.at, one.evidence, current=one is changes[-1])
        for one in changes
    ]
    if not steps:
        label = str(RouteState(route.state).label)
        steps = [Step(route.state, label, route.state_since, _("No change on record."), current=True)]
    if outage is not None and outage.closed_at is None and route.state != RouteState.UP:
        if route.state == RouteState.RECOVERING:
            then = Step("next", _("Up"), None, _("When the queue is empty and probes stay good."))
        else:
            then = Step("next", _("Recovering"), None, _("When probes are good again, or a person ends the outage."))
        steps.append(then)
    return tuple(steps)


def _moments(changes: list[RouteChange]) -> list[Moment]:
    return [
        Moment(one.at, f"{timezone.localtime(one.at):%H:%M} {RouteState(one.new).label.lower()}", one.new)
        for one in changes
    ]


def _words(status: RouteStatus) -> tuple[str, str]:
    counted = _("%(done)s of %(all)s deliveries made") % {
        "done": f"{status.delivered:,}",
        "all": f"{status.total:,}",
    }
    if status.route.held:
        return _("A person holds this mail back."), counted + "."
    if status.state == RouteState.RECOVERING:
        left = _(", about %(n)d min left") % {"n": -(-int(status.seconds_left) // 60)} if status.seconds_left else ""
        return _("The mail server is back."), counted + left + "."
    if status.state == RouteState.UP and status.outage is None:
        if status.stale:
            return _("The mail server was not checked just now."), _("New mail is kept here until it is.")
        return _("The mail server is working."), _("einbox is out of the path.")
    since = f"{timezone.localtime(status.since):%H:%M}"
    kept = ngettext("%(n)s delivery waits here.", "%(n)s deliveries wait here.", status.held)
    kept %= {"n": f"{status.held:,}"}
    if status.state == RouteState.SUSPECT:
        return _("The mail server does not answer since %(time)s.") % {"time": since}, kept
    return _("The mail server is down since %(time)s.") % {"time": since}, kept
