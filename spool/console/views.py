"""Pages of the console: routes and their outages, the queue as envelopes, and the acts of admins. Admins only.

Shows envelopes, subjects, sizes, states and replies; reads no content. Every act needs a reason and is an event.
"""

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode

from django.contrib import messages as notes
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import AuthenticatedRequest, role_required
from accounts.enums import Role
from audit.escape import storable
from audit.record import Target, record
from audit.tags import Tag
from spool.console import episode, queue
from spool.enums import WORST_FIRST, OutageKind, RouteState
from spool.models import Outage, Route
from spool.queue import holding, outage, queries, scope

REASON = 255
SHORT = 8  # lines of the queue on the page of a route


def _routes() -> list[Route]:
    """All routes with a domain, the worst first; those of a drill last, and only while something is wrong with them."""
    found = Route.objects.filter(domains__isnull=False).exclude(domains__is_drill=True, state=RouteState.UP)
    found = found.exclude(scope.gone()).distinct().prefetch_related("domains")
    drills = {route.pk for route in found if any(domain.is_drill for domain in route.domains.all())}
    return sorted(found, key=lambda one: (one.pk in drills, WORST_FIRST.index(RouteState(one.state)), one.name))


def _route(route_id: int) -> Route:
    found = Route.objects.filter(pk=route_id).first()
    if found is None:
        raise Http404
    return found


def _viewed(request: AuthenticatedRequest, count: int, route: Route | None) -> None:
    label = route.name if route else "all"
    record(Tag.QUEUE_VIEWED, target=Target("route", str(route.pk) if route else "", label), detail={"count": count})


@require_safe
@role_required(Role.ADMIN)
def outages(request: AuthenticatedRequest, route_id: int | None = None) -> HttpResponse:
    """One route: what is going on, why, does the account add up, what waits."""
    routes = _routes()
    if not routes and route_id is None:
        return render(request, "spool/console/empty.html", {"here": "outages"})
    route = routes[0] if route_id is None else _route(route_id)
    show = request.GET.get("show", "held")
    with transaction.atomic():
        try:
            page = queue.page(route, show=show, size=SHORT)
        except queue.QueueError:
            raise Http404 from None
        _viewed(request, len(page.lines), route)
    context = {
        "routes": routes,
        "route": route,
        "episode": episode.of(route, now=timezone.now()),
        "tabs": queue.tabs(route),
        "show": show,
        "page": page,
        "past": Outage.objects.filter(route=route, closed_at__isnull=False).order_by("-closed_at")[:5],
        "kinds": [OutageKind.DECLARED, OutageKind.PLANNED],
        "here": "outages",
        "nav_here": "console",
    }
    return render(request, "spool/console/outages.html", context)


@require_safe
@role_required(Role.ADMIN)
def listing(request: AuthenticatedRequest) -> HttpResponse:
    """The whole queue, by filter and order."""
    show, order = request.GET.get("show", "held"), request.GET.get("order", "oldest")
    route = _chosen(request.GET.get("route", ""))
    with transaction.atomic():
        try:
            page = queue.page(route, show=show, order=order, after=request.GET.get("after", ""))
        except queue.QueueError:
            raise Http404 from None
        _viewed(request, len(page.lines), route)
    context = {
        "routes": _routes(),
        "route": route,
        "tabs": queue.tabs(route),
        "show": show,
        "order": order,
        "query": urlencode({"route": route.pk if route else "", "order": order}) + "&",
        "page": page,
        "here": "queue",
        "nav_here": "console",
    }
    return render(request, "spool/console/queue.html", context)


def _chosen(text: str) -> Route | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Http404
    return _route(int(text))


# --- acts ---------------------------------------------------------------------------------------------------------
Act = Callable[[AuthenticatedRequest, Route, str, datetime], str]


def _open(request: AuthenticatedRequest, route: Route, reason: str, now: datetime) -> str:
    kind = request.POST.get("kind", OutageKind.DECLARED)
    if kind not in {OutageKind.DECLARED, OutageKind.PLANNED}:
        raise Http404
    until = _moment(request.POST.get("until", ""))
    outage.open_outage(route, kind=OutageKind(kind), reason=reason, now=now, until=until)
    return _("The outage is open. New mail is accepted and shown here.")


def _moment(text: str) -> datetime | None:
    """What `datetime-local` sends, in the reader's time zone. Raises OutageError."""
    if not text:
        return None
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise outage.OutageError(_("The time could not be read. Write it as 2026-11-24 15:30."))
    return timezone.make_aware(found) if timezone.is_naive(found) else found


def _current(route: Route) -> Outage:
    found = queries.open_outage_of(route)
    if found is None:
        raise outage.OutageError(_("There is no open outage."))
    return found


def _close(request: AuthenticatedRequest, route: Route, reason: str, now: datetime) -> str:
    outage.close_outage(_current(route), reason=reason, now=now)
    return _("The outage is ended by hand. Mail goes home now.")


def _announce(request: AuthenticatedRequest, route: Route, reason: str, now: datetime) -> str:
    outage.announce(_current(route), reason, by=request.user.display_name, now=now)
    return _("Everybody sees it in the status line now.")


def _hold(request: AuthenticatedRequest, route: Route, reason: str, now: datetime) -> str:
    holding.set_held(route, held=True, reason=reason, now=now)
    return _("Mail is held back. What is under way is finished.")


def _release(request: AuthenticatedRequest, route: Route, reason: str, now: datetime) -> str:
    holding.set_held(route, held=False, reason=reason, now=now)
    return _("Mail goes home again.")


ACTS: dict[str, Act] = {"open": _open, "close": _close, "announce": _announce, "hold": _hold, "release": _release}


@require_POST
@role_required(Role.ADMIN)
def act(request: AuthenticatedRequest, route_id: int, name: str) -> HttpResponse:
    """One act on a route; `reason` is asked for in every form."""
    route = _route(route_id)
    if name not in ACTS:
        raise Http404
    reason = " ".join(storable(request.POST.get("reason", "")).split())[:REASON]
    if not reason:
        notes.error(request, _("Nothing was done: write a reason."))
    else:
        try:
            notes.success(request, ACTS[name](request, route, reason, timezone.now()))
        except (outage.OutageError, holding.HoldError) as error:
            notes.error(request, str(error))
    return HttpResponseRedirect(reverse("spool:console-route", args=[route.pk]))
