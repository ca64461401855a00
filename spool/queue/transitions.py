"""A route's change of state and all that must change with it, in the caller's transaction.

Every change leaves a RouteChange row and an event with the sentence that explains it. Decides nothing: which
state comes next is spool.queue.schedule's, who may ask for it is spool.queue.outage's.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Q
from django.utils.translation import gettext as _

from audit.record import Target, record
from audit.tags import Tag
from spool.enums import UNFINISHED, DeliveryState, RouteState
from spool.models import Delivery, Outage, Route, RouteChange
from spool.queue import queries
from spool.queue.schedule import Evidence


def route_target(route: Route) -> Target:
    return Target("route", str(route.pk), route.name)


def change_state(route: Route, new: RouteState, *, evidence: str, outage: Outage | None, now: datetime) -> None:
    """Write the change of a locked `route`; the caller saves it."""
    old = RouteState(route.state)
    route.state, route.state_since = new, now
    RouteChange.objects.create(route=route, outage=outage, at=now, old=old, new=new, evidence=evidence[:500])
    detail = {"old": old.value, "new": new.value, "evidence": evidence}
    record(Tag.ROUTE_CHANGED, target=route_target(route), detail=detail, at=now)
    if new is RouteState.RECOVERING:
        _make_due(route, now)
    if new is RouteState.UP:
        extend_expiry(route, now=now)


def _make_due(route: Route, now: datetime) -> None:
    """Proof that the primary is back makes every waiting delivery due, however long it had been put off."""
    waiting = queries.waiting(route).filter(state=DeliveryState.QUEUED, next_attempt_at__gt=now)
    waiting.update(next_attempt_at=now)


def extend_expiry(route: Route, *, now: datetime) -> None:
    """Give back the time during which the route was not up (rule 5: expiry stands still)."""
    left_up = RouteChange.objects.filter(route=route, old=RouteState.UP, at__lt=now).order_by("-at", "-pk").first()
    if left_up is None:
        return
    unfinished = Delivery.objects.filter(route=route, state__in=UNFINISHED)
    unfinished.filter(created_at__lte=left_up.at).update(expires_at=F("expires_at") + (now - left_up.at))
    # Accepted while it was not up: their whole life so far stood still.
    unfinished.filter(created_at__gt=left_up.at).update(expires_at=now + timedelta(days=settings.EXPIRY_DAYS))


def adopt(outage: Outage) -> None:
    """Count to `outage` what waited when it began, and what an intake that did not see it yet stored meanwhile.

    Mail taken on a route nobody confirmed came before the outage was seen; what an earlier outage left behind stays
    in that one's account.
    """
    strays = Delivery.objects.filter(route=outage.route_id, outage__isnull=True)
    strays.filter(Q(state__in=UNFINISHED) | Q(created_at__gte=outage.opened_at)).update(outage=outage)


def open_detected(route: Route, *, now: datetime) -> Outage:
    """The row of an outage from its first failed look on; it is told to nobody before it is `down`."""
    return Outage.objects.create(route=route, opened_at=now)


def record_opened(outage: Outage, *, reason: str, now: datetime) -> None:
    detail = {"kind": outage.kind, "reason": reason}
    record(Tag.OUTAGE_OPENED, target=route_target(outage.route), detail=detail, at=now)


def finish(outage: Outage, *, now: datetime) -> None:
    """Close an outage whose spool is empty, with its report; forget one that never was (no mail, never down)."""
    adopt(outage)
    if outage.down_at is None and not queries.of_outage(outage).exists():
        outage.delete()
        return
    outage.closed_at = now
    outage.report = queries.account(outage=outage).to_json()
    outage.save()
    detail = {"reason": _("the spool is empty"), "report": outage.report}
    record(Tag.OUTAGE_CLOSED, target=route_target(outage.route), detail=detail, at=now)


def sentence(evidence: Evidence, *, good: int, bad: int) -> str:
    """The words that explain a change: what was seen, where, and how often in a row."""
    what = _("probe of %(host)s") if evidence.is_probe else _("delivery to %(host)s")
    what %= {"host": evidence.host}
    if evidence.ok:
        return _("%(what)s succeeded, %(count)d in a row") % {"what": what, "count": good}
    code = f"{evidence.code} " if evidence.code else ""
    return _("%(what)s failed at %(phase)s (%(reply)s), %(count)d in a row") % {
        "what": what,
        "phase": evidence.phase,
        "reply": f"{code}{evidence.text}".strip()[:300],
        "count": bad,
    }
