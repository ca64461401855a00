"""Outages: seen by evidence, declared, planned, ended and announced by people. Every act is one transaction.

A detected outage gets its row at the first failed look (mail accepted from then on belongs to it); the row is
dropped silently if the route returns before it was ever down and without any mail. It closes by itself when the
route is up and the spool is empty. Declared, planned and drill outages hold the route down until a person
ends them or `until` passes; then evidence decides again.
"""

from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from audit.context import current
from audit.record import record
from audit.tags import Tag
from spool.enums import OutageKind, RouteState
from spool.failpoints import failpoint
from spool.models import Outage, PlannedOutage, Probe, Route
from spool.queue import leases, queries, scope
from spool.queue.schedule import Evidence, Health, Surroundings, after_evidence
from spool.queue.transitions import (
    adopt,
    change_state,
    finish,
    open_detected,
    record_opened,
    route_target,
    sentence,
)

FARTHEST = timedelta(days=3660)  # how far ahead people may plan
OVERRIDING = frozenset({OutageKind.DECLARED, OutageKind.PLANNED, OutageKind.DRILL})


class OutageError(Exception):
    """The act does not fit the state of things; the text is a sentence for the person who tried."""


def overrides(outage: Outage | None, *, now: datetime) -> bool:
    """Whether a person's word holds the route down, whatever probes say."""
    return outage is not None and outage.kind in OVERRIDING and (outage.until is None or outage.until > now)


def how_it_ends(outage: Outage) -> str:
    """What a person who opened one by their word, or waits for the end of it, should know."""
    route = outage.route.name
    if outage.until is None:
        return _("It ends by `outage close %(route)s` only, although the primary may answer before.") % {"route": route}
    words = {"route": route, "until": f"{outage.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"}
    return _("It ends on %(until)s or by `outage close %(route)s`, although the primary may answer before.") % words


def _locked(route: Route) -> Route:
    return Route.objects.select_for_update().get(pk=route.pk)


def _present(route: Route) -> Route:
    """Locked, and not of a domain that was removed meanwhile. Raises OutageError."""
    route = _locked(route)
    if scope.is_gone(route):
        raise OutageError(_("%(route)s is not protected any more.") % {"route": route.name})
    return route


# --- evidence --------------------------------------------------------------------------------------------------
@transaction.atomic
def observe(route: Route, evidence: Evidence, *, now: datetime, lease: leases.Held | None = None) -> Route:
    """Let one piece of evidence move the route. Raises LeaseLostError if `lease` is no longer ours."""
    if lease is not None:
        leases.fence(lease, now=now)
    route = _locked(route)
    if scope.is_gone(route):  # a look that began before its domain was removed
        return route
    outage = queries.open_outage_of(route)
    around = Surroundings(overrides(outage, now=now), queries.is_drained(route, now=now))
    before = Health(RouteState(route.state), route.good_probes, route.bad_probes)
    after = after_evidence(before, ok=evidence.ok, around=around)
    if evidence.is_probe:
        _keep_probe(route, evidence, now)
    if after.state is not before.state:
        counts = {"good": before.good + 1, "bad": before.bad + 1}
        outage = _follow(route, after.state, outage, sentence(evidence, **counts), now)
    route.good_probes, route.bad_probes = after.good, after.bad
    if evidence.ok == (after.state in (RouteState.UP, RouteState.RECOVERING)):
        route.confirmed_at = now
    route.save()
    if outage is not None and after.state is RouteState.UP and around.drained:
        finish(outage, now=now)
    failpoint("watch.before_commit")
    return route


def _keep_probe(route: Route, evidence: Evidence, now: datetime) -> None:
    Probe.objects.create(
        route=route,
        at=now,
        host=evidence.host[:262],
        ok=evidence.ok,
        phase=evidence.phase,
        code=evidence.code,
        text=evidence.text[:512],
        milliseconds=evidence.milliseconds,
    )


def _follow(route: Route, new: RouteState, outage: Outage | None, words: str, now: datetime) -> Outage | None:
    """Write a change of state that evidence brought, and its outage; the outage that is open afterwards."""
    if outage is None and new is not RouteState.UP:
        outage = open_detected(route, now=now)
    old = RouteState(route.state)
    change_state(route, new, evidence=words, outage=outage, now=now)
    if outage is None:
        return None
    adopt(outage)
    if new is RouteState.DOWN and outage.down_at is None:
        outage.down_at = now
        record_opened(outage, reason=words, now=now)
    elif new is RouteState.UP and old is RouteState.SUSPECT and queries.of_outage(outage).exists():
        if outage.down_at is None:  # too short to be down, but mail was taken: it is told after all
            record_opened(outage, reason=words, now=now)
    elif new is RouteState.RECOVERING:
        outage.recovering_at = now
    outage.save()
    return outage


def _check_near(*moments: datetime | None, now: datetime) -> None:
    """A slip of the pen holds no route down for centuries; a time past the year 9999 could not be read back at all."""
    if any(moment is not None and moment - now > FARTHEST for moment in moments):
        raise OutageError(_("An outage starts and ends within ten years from now."))


# --- people -----------------------------------------------------------------------------------------------------
@transaction.atomic
def open_outage(route: Route, *, kind: OutageKind, reason: str, now: datetime, until: datetime | None = None) -> Outage:
    """Hold the route down by a person's word; an outage found by probes becomes this one. Raises OutageError."""
    if until is not None and until <= now:
        raise OutageError(_("The end of an outage must lie in the future."))
    _check_near(until, now=now)
    route = _present(route)
    outage = queries.open_outage_of(route)
    if overrides(outage, now=now):
        raise OutageError(_("%(route)s has an open outage already.") % {"route": route.name})
    outage = outage or Outage(route=route, opened_at=now)
    outage.kind, outage.reason, outage.until = kind, reason[:255], until
    outage.down_at, outage.recovering_at = outage.down_at or now, None
    outage.save()
    adopt(outage)
    if route.state != RouteState.DOWN:
        words = _("%(who)s opened an outage: %(reason)s") % {"who": current().actor.label, "reason": reason}
        change_state(route, RouteState.DOWN, evidence=words, outage=outage, now=now)
        route.good_probes = route.bad_probes = 0
        route.confirmed_at = now
        route.save()
    record_opened(outage, reason=reason, now=now)
    return outage


@transaction.atomic
def close_outage(outage: Outage, *, reason: str, now: datetime) -> Outage:
    """End an outage by a person's word: the drain starts; the row closes when the spool is empty. Raises OutageError.

    If the primary is not back after all, three failed probes bring the route down again.
    """
    route = _locked(outage.route)
    outage.refresh_from_db()
    if outage.closed_at is not None:
        raise OutageError(_("This outage of %(route)s is closed already.") % {"route": route.name})
    if route.state in (RouteState.RECOVERING, RouteState.UP):
        words = _("%(route)s is handing its mail back already; the outage closes when the spool is empty.")
        raise OutageError(words % {"route": route.name})
    if outage.kind in OVERRIDING:
        outage.until = now
    outage.recovering_at = now
    outage.save()
    record(Tag.OUTAGE_ENDED, target=route_target(route), detail={"reason": reason}, at=now)
    words = _("%(who)s ended the outage: %(reason)s") % {"who": current().actor.label, "reason": reason}
    change_state(route, RouteState.RECOVERING, evidence=words, outage=outage, now=now)
    route.good_probes = route.bad_probes = 0
    route.probe_wanted_at = route.confirmed_at = now
    route.save()
    return outage


@transaction.atomic
def announce(outage: Outage, text: str, *, by: str, now: datetime) -> None:
    """Tell the people something about an open outage. Raises OutageError."""
    if outage.closed_at is not None:
        raise OutageError(_("This outage is closed."))
    outage.announcement, outage.announced_at, outage.announced_by = text[:500], now, by[:255]
    outage.save(update_fields=["announcement", "announced_at", "announced_by"])
    record(Tag.OUTAGE_ANNOUNCED, target=route_target(outage.route), detail={"text": text}, at=now)


@transaction.atomic
def schedule_outage(
    route: Route, *, starts_at: datetime, until: datetime | None, reason: str, now: datetime
) -> PlannedOutage:
    """Announce an outage for later. Raises OutageError."""
    if starts_at <= now:
        raise OutageError(_("A planned outage starts in the future; use open for one that starts now."))
    if until is not None and until <= starts_at:
        raise OutageError(_("A planned outage ends after it starts."))
    _check_near(starts_at, until, now=now)
    route = _present(route)
    if PlannedOutage.objects.filter(route=route, starts_at=starts_at).exists():
        raise OutageError(_("%(route)s has an outage planned for that time already.") % {"route": route.name})
    plan = PlannedOutage.objects.create(
        route=route, starts_at=starts_at, until=until, reason=reason[:255], planned_by=current().actor.label[:255]
    )
    detail = {"starts_at": starts_at, "until": until, "reason": reason}
    record(Tag.OUTAGE_PLANNED, target=route_target(route), detail=detail, at=now)
    return plan


@transaction.atomic
def cancel_plan(plan: PlannedOutage, *, reason: str, now: datetime) -> None:
    """Call a planned outage off."""
    record(Tag.OUTAGE_CANCELLED, target=route_target(plan.route), detail={"reason": reason}, at=now)
    plan.delete()


def begin_planned(*, now: datetime) -> int:
    """Open the outages whose time has come. Returns how many."""
    begun = 0
    for plan in PlannedOutage.objects.filter(starts_at__lte=now).select_related("route"):
        with transaction.atomic():
            route = _locked(plan.route)  # in the order of whoever removes its domain, and with it the plan
            taken, _rows = PlannedOutage.objects.filter(pk=plan.pk).delete()
            running = overrides(queries.open_outage_of(route), now=now) or scope.is_gone(route)
            if taken and not running and (plan.until is None or plan.until > now):
                open_outage(plan.route, kind=OutageKind.PLANNED, reason=plan.reason, now=now, until=plan.until)
                begun += 1
    return begun
