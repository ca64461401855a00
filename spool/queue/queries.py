"""Questions about the spool: does the account add up, how is a route, what is left to do. Reads only."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet

from accounts.models import User
from spool.enums import UNFINISHED, DeliveryState, Outcome, RouteState
from spool.models import Delivery, MergedAcceptance, Outage, Route

STALE_AFTER = timedelta(seconds=60)
RATE_WINDOW = timedelta(seconds=60)


@dataclass(frozen=True)
class Account:
    """Every acceptance and what became of it, counted in deliveries: one for each recipient, of mail written here, too.

    A merge is a second acceptance of a delivery counted once.
    """

    accepted: int
    delivered: int
    held: int
    removed: int
    bounced: int
    expired: int
    merged: int

    @property
    def adds_up(self) -> bool:
        parts = (self.delivered, self.held, self.removed, self.bounced, self.expired, self.merged)
        return self.accepted == sum(parts)

    def to_json(self) -> dict[str, int | bool]:
        return {**asdict(self), "adds_up": self.adds_up}


@dataclass(frozen=True)
class RouteStatus:
    """How one route is doing. `seconds_left` of the drain: None if nothing waits or no speed is known yet."""

    route: Route
    state: RouteState
    since: datetime
    outage: Outage | None
    held: int
    delivered: int
    total: int
    seconds_left: float | None
    stale: bool


def of_outage(outage: Outage) -> QuerySet[Delivery]:
    """The deliveries that belong to an outage: accepted during it, or waiting when it began (see transitions.adopt)."""
    return Delivery.objects.filter(outage=outage)


def of_domains(domains: Iterable[str]) -> QuerySet[Delivery]:
    """Deliveries to these protected domains, and those their people sent outside."""
    rows = Q()
    for domain in domains:
        rows |= Q(forward_path__iendswith=f"@{domain}") | Q(message__author_mailbox__domain__name=domain)
    return Delivery.objects.filter(rows)


def account(*, outage: Outage | None = None, domains: Iterable[str] | None = None) -> Account:
    """Counts of all deliveries, or of those of an outage, or of some domains."""
    if outage is not None:
        rows = of_outage(outage)
    else:
        rows = Delivery.objects.all() if domains is None else of_domains(domains)
    counts = rows.aggregate(
        total=Count("pk"),
        held=Count("pk", filter=Q(state__in=UNFINISHED)),
        **{state.value: Count("pk", filter=Q(state=state)) for state in DeliveryState if state not in UNFINISHED},
    )
    merged = MergedAcceptance.objects.filter(delivery__in=rows.values("pk")).count()
    return Account(
        accepted=counts["total"] + merged,
        delivered=counts["delivered"],
        held=counts["held"],
        removed=counts["removed"],
        bounced=counts["bounced"],
        expired=counts["expired"],
        merged=merged,
    )


def ambiguous_attempts(domains: Iterable[str]) -> int:
    """Attempts for these domains that ended without an answer after the final dot."""
    return of_domains(domains).filter(tries__outcome=Outcome.AMBIGUOUS).values("tries").count()


def messages(rows: QuerySet[Delivery]) -> tuple[int, int]:
    """How many messages went home with all of these deliveries, and how many messages there are."""
    of_messages = rows.order_by().values("message").distinct()
    total = of_messages.count()
    return total - of_messages.exclude(state=DeliveryState.DELIVERED).count(), total


def received_and_written(rows: QuerySet[Delivery]) -> tuple[int, int]:
    """How many messages of these deliveries came from outside and how many a person wrote here; notices are neither."""
    counts = rows.aggregate(
        received=Count("message", distinct=True, filter=Q(message__author=None, message__peer__isnull=False)),
        written=Count("message", distinct=True, filter=Q(message__author__isnull=False)),
    )
    return counts["received"], counts["written"]


def waiting(route: Route) -> QuerySet[Delivery]:
    """Deliveries of a route that the drain may still send on its own: not in review, not held by a person."""
    states = (DeliveryState.QUEUED, DeliveryState.LEASED)
    return Delivery.objects.filter(route=route, state__in=states, held=False)


def is_drained(route: Route, *, now: datetime) -> bool:
    """Nothing is under way or due: what remains was tried and waits for its next time, or for a person."""
    return not waiting(route).filter(Q(state=DeliveryState.LEASED) | Q(next_attempt_at__lte=now)).exists()


def open_outage_of(route: Route) -> Outage | None:
    return Outage.objects.filter(route=route, closed_at__isnull=True).first()


def is_stale(route: Route, *, now: datetime) -> bool:
    """Nobody confirmed the route's state lately; a time ahead is of a clock that was set back, and confirms nothing."""
    return route.confirmed_at is None or abs(now - route.confirmed_at) > STALE_AFTER


def route_status(route: Route, *, now: datetime) -> RouteStatus:
    """What people are told about a route."""
    outage = open_outage_of(route)
    scope = of_outage(outage) if outage else Delivery.objects.filter(route=route, state__in=UNFINISHED)
    counts = scope.aggregate(
        held=Count("pk", filter=Q(state__in=UNFINISHED)),
        delivered=Count("pk", filter=Q(state=DeliveryState.DELIVERED)),
        total=Count("pk"),
    )
    return RouteStatus(
        route=route,
        state=RouteState(route.state),
        since=outage.opened_at if outage else route.state_since,
        outage=outage,
        seconds_left=_seconds_left(route, counts["held"], now=now),
        stale=is_stale(route, now=now),
        **counts,
    )


def _seconds_left(route: Route, held: int, *, now: datetime) -> float | None:
    if not held or route.state != RouteState.RECOVERING:
        return None
    window = min(RATE_WINDOW, max(now - route.state_since, timedelta(seconds=1)))
    done = Delivery.objects.filter(route=route, state=DeliveryState.DELIVERED, finished_at__gte=now - window).count()
    return held / (done / window.total_seconds()) if done else None


def routes_of(user: User) -> QuerySet[Route]:
    """The routes behind a user's personal and shared mailboxes of protected domains."""
    mine = Q(domains__mailboxes__user=user) | Q(domains__mailboxes__members__user=user)
    return Route.objects.filter(mine, domains__removed_at__isnull=True).distinct()


def writing_open(route: Route) -> bool:
    """Writing is open while the route is not up and until its outage closes."""
    return route.state != RouteState.UP or open_outage_of(route) is not None
