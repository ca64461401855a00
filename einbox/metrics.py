"""What Prometheus may know: counts and ages read from the database at the moment of asking.

Labels come from closed lists (states, reasons, tags) and from the names of routes; never an address, a subject
or any other word of mail. Reads only.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Min
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from audit.models import Event
from audit.tags import Tag
from audit.verification import standing
from einbox import __version__
from spool.enums import UNFINISHED, DeliveryState, Direction, ParseState, RouteState
from spool.models import Counter, Delivery, Heartbeat, Message, Outage, Route
from spool.queue import scope
from spool.queue.expiry import EXPIRES_SOON

HOUR = timedelta(hours=1)
NEVER = datetime.min.replace(tzinfo=UTC)  # longer ago than any alarm waits
Rows = dict[tuple[str, ...], float]


def exposition(*, now: datetime) -> tuple[bytes, str]:
    """The page and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector(now))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _gauge(name: str, help_text: str, labels: list[str], rows: Rows) -> Metric:
    metric = GaugeMetricFamily(f"einbox_{name}", help_text, labels=labels)
    for values, number in rows.items():
        metric.add_metric(list(values), number)
    return metric


class DatabaseCollector(Collector):
    """Asks the database once per scrape; every figure is of the same moment."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def collect(self) -> Iterator[Metric]:
        yield _gauge("info", "Version of this installation", ["version"], {(__version__,): 1})
        yield from self._queue()
        yield from self._routes()
        yield from self._events()
        yield from self._backlogs()

    def _age(self, moment: datetime | None) -> float:
        return max(0.0, (self.now - moment).total_seconds()) if moment else 0.0

    def _queue(self) -> Iterator[Metric]:
        rows: Rows = {(direction, state): 0.0 for direction in Direction.values for state in DeliveryState.values}
        # order_by() first: a default ordering would be added to GROUP BY.
        counted = Delivery.objects.order_by().values_list("direction", "state").annotate(n=Count("id"))
        rows |= {(direction, state): float(number) for direction, state, number in counted}
        yield _gauge("deliveries", "Deliveries by state", ["direction", "state"], rows)
        oldest = Delivery.objects.filter(state__in=UNFINISHED).aggregate(at=Min("created_at"))["at"]
        soon = Delivery.objects.filter(EXPIRES_SOON).count()
        yield _gauge("deliveries_expire_soon", "Deliveries warned of that expire within days", [], {(): soon})
        yield _gauge("oldest_delivery_seconds", "Age of the oldest unfinished delivery", [], {(): self._age(oldest)})

    def _routes(self) -> Iterator[Metric]:
        states: Rows = {}
        confirmed: Rows = {}
        for route in Route.objects.exclude(scope.gone()):
            states |= {(route.name, state): float(route.state == state) for state in RouteState.values}
            confirmed[(route.name,)] = self._age(route.confirmed_at)
        yield _gauge("route_state", "1 for the state a route is in", ["route", "state"], states)
        yield _gauge("route_confirmed_seconds", "Since a probe last confirmed the state", ["route"], confirmed)
        yield _gauge("outages_open", "Open outages", [], {(): Outage.objects.filter(closed_at=None).count()})

    def _events(self) -> Iterator[Metric]:
        tags = {Tag.LOGIN_REFUSED.value, Tag.LOGIN_THROTTLED.value, Tag.ACCESS_DENIED.value, Tag.LOGIN_SUCCEEDED.value}
        rows: dict[str, float] = dict.fromkeys(sorted(tags), 0.0)
        recent: Any = Event.objects.filter(tag__in=tags, at__gte=self.now - HOUR).order_by().values_list("tag")
        rows |= {tag: float(number) for tag, number in recent.annotate(n=Count("id"))}
        yield _gauge("events_last_hour", "Audit events of the last hour", ["tag"], {(t,): n for t, n in rows.items()})
        chain = standing(now=self.now)
        verified = self._age(chain.verified_at or NEVER)
        yield _gauge("audit_verified_seconds", "Since the audit chain was last verified", [], {(): verified})
        broken = float(chain.broken_seq is not None)
        yield _gauge("audit_chain_broken", "1 when the audit chain does not verify", [], {(): broken})
        unsealed = Event.objects.filter(seq=None).aggregate(at=Min("at"))["at"]
        yield _gauge("oldest_unsealed_event_seconds", "Age of the oldest unsealed event", [], {(): self._age(unsealed)})

    def _backlogs(self) -> Iterator[Metric]:
        pending = Message.objects.filter(parse_state=ParseState.PENDING)
        yield _gauge("messages_unparsed", "Accepted and not yet read", [], {(): pending.count()})
        accepted = CounterMetricFamily("einbox_messages", "Messages accepted or written since the first start")
        accepted.add_metric([], Message.objects.count())
        yield accepted
        counted = CounterMetricFamily(
            "einbox_counted", "What the processes counted, refusals by reason", labels=["name"]
        )
        for name, value in Counter.objects.order_by("name").values_list("name", "value"):
            counted.add_metric([name], value)
        yield counted
        signs = Heartbeat.objects.order_by().values_list("service").annotate(n=Count("name"), oldest=Min("at"))
        yield _gauge("processes", "Processes that gave a sign of life", ["service"], {(s,): n for s, n, _ in signs})
