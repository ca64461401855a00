"""Which routes and domains a process may act on: a drill's processes on the drill's only, all others on the rest.
And which drills are over, so that lists need not show them.

A drill runs on the product's own database beside the running product, yet must never contact a real host.
"""

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from spool.enums import UNFINISHED, DeliveryState
from spool.models import Delivery, Domain, Mailbox, Outage, Route


def routes() -> QuerySet[Route]:
    """The routes this process probes and drains."""
    if settings.DRILL_DOMAIN:
        return Route.objects.filter(domains__name=settings.DRILL_DOMAIN)
    found = Route.objects.exclude(domains__is_drill=True)
    # The watch asks several times a second, and hardly anybody ever removes a domain.
    return found.exclude(gone()) if _gone_domains().exists() else found


def domains() -> QuerySet[Domain]:
    """The domains this process accepts mail for."""
    if settings.DRILL_DOMAIN:
        return Domain.objects.filter(name=settings.DRILL_DOMAIN)
    return Domain.objects.filter(is_drill=False)


def past_drills() -> QuerySet[Domain]:
    """The domains of drills that are over. While a drill's people can log in, it is not, whatever became of it."""
    people = Mailbox.objects.filter(domain=OuterRef("pk"), user__is_active=True)
    return Domain.everything.filter(~Exists(people), is_drill=True)


def gone() -> Q:
    """Routes whose domains were all removed, unless mail came through at that moment: it goes home like any other."""
    of_route = {"route": OuterRef("pk")}
    # One look-up for each state, for each has an index of its own: the history of a route may be long.
    queued = Delivery.objects.filter(**of_route, state=DeliveryState.QUEUED)
    leased = Delivery.objects.filter(**of_route, state=DeliveryState.LEASED, lease_until__isnull=False)
    outages = Outage.objects.filter(**of_route, closed_at__isnull=True)
    busy = Q(Exists(queued)) | Q(Exists(leased)) | Q(Exists(outages))
    return _removed(of="pk") & ~busy


def is_gone(route: Route) -> bool:
    """Whether `gone` holds for this route now."""
    return _gone_domains().filter(route=route).exists() and Route.objects.filter(gone(), pk=route.pk).exists()


def late() -> QuerySet[Delivery]:
    """Unfinished mail of domains that were removed."""
    return Delivery.objects.filter(_removed(of="route"), state__in=UNFINISHED)


def _gone_domains() -> QuerySet[Domain]:
    return Domain.everything.filter(removed_at__isnull=False)


def _removed(*, of: str) -> Q:
    route = OuterRef(of)
    return Q(Exists(_gone_domains().filter(route=route))) & ~Q(Exists(Domain.objects.filter(route=route)))
