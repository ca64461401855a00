"""What was done, and what waits: the last drill and backup, the audit log, the queue."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min

from audit.models import Event
from audit.tags import Tag
from audit.verification import standing
from einbox.finding import FAIL, OK, WARN, Finding
from spool.enums import UNFINISHED, RouteState
from spool.models import Delivery
from spool.queue import scope
from spool.queue.expiry import EXPIRES_SOON

DRILL_EVERY = timedelta(days=90)
BACKUP_EVERY = timedelta(days=7)
VERIFY_EVERY = timedelta(hours=1)  # the watch does it every few minutes
QUEUE_OLD = timedelta(hours=4)  # while the route is up


def history(now: datetime) -> Iterator[Finding]:
    yield _age("drill", Tag.DRILL_ENDED, DRILL_EVERY, now, "No drill yet: run `make drill` or `manage.py drill`.")
    yield _age("backup", Tag.BACKUP_MADE, BACKUP_EVERY, now, "No backup yet: `manage.py backup DIR`.")
    yield from _chain(now)


def _chain(now: datetime) -> Iterator[Finding]:
    chain = standing(now=now)
    if chain.unsealed:
        yield Finding("audit seal", FAIL, "Events of the audit log wait too long for their seal; is the watch running?")
    if chain.broken_seq is not None:
        yield Finding("audit chain", FAIL, f"The audit chain breaks at event {chain.broken_seq}.")
    elif chain.verified_at is None:
        yield Finding("audit chain", WARN, "The audit chain was never verified: `manage.py audit verify`.")
    else:
        state = OK if now - chain.verified_at <= VERIFY_EVERY else WARN
        at = f"{chain.verified_at:%Y-%m-%d %H:%M} UTC"
        yield Finding("audit chain", state, f"{chain.verified_seq:,} events of the audit log verify, checked at {at}.")


def _age(name: str, tag: Tag, every: timedelta, now: datetime, never: str) -> Finding:
    latest = Event.objects.filter(tag=tag.value).aggregate(at=Max("at"))["at"]
    if latest is None:
        return Finding(name, WARN, never)
    state = OK if now - latest <= every else WARN
    return Finding(name, state, f"The last {name} was on {latest:%Y-%m-%d}.")


def queue(now: datetime) -> Iterator[Finding]:
    soon = Delivery.objects.filter(EXPIRES_SOON).aggregate(count=Count("pk"), first=Min("expires_at"))
    if soon["count"]:
        at = f"{soon['first']:%Y-%m-%d %H:%M} UTC"
        sentence = f"{soon['count']} deliveries expire soon, the first on {at}: `queue list --expiring`."
        yield Finding("expiry", WARN, sentence)
    waiting = Delivery.objects.filter(state__in=UNFINISHED)
    if late := scope.late().count():
        sentence = f"{late} deliveries of removed domains wait: `queue list`. Where they cannot go home, add it again."
        yield Finding("removed domains", WARN, sentence)
    oldest = waiting.filter(route__state=RouteState.UP).order_by("created_at").first()
    if oldest and now - oldest.created_at > QUEUE_OLD:
        sentence = f"Delivery {oldest} waits since {oldest.created_at:%Y-%m-%d %H:%M} UTC although its server is up."
        yield Finding("queue", WARN, sentence)
    else:
        yield Finding("queue", OK, f"{waiting.count()} deliveries wait, none of them too long.")
