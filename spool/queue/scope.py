"""Which routes and domains a process may act on: a drill's processes on the drill's only, all others on the rest.

A drill runs on the product's own database beside the running product, yet must never contact a real host.
"""

from django.conf import settings
from django.db.models import QuerySet

from spool.models import Domain, Route


def routes() -> QuerySet[Route]:
    """The routes this process probes and drains."""
    if settings.DRILL_DOMAIN:
        return Route.objects.filter(domains__name=settings.DRILL_DOMAIN)
    return Route.objects.exclude(domains__is_drill=True)


def domains() -> QuerySet[Domain]:
    """The domains this process accepts mail for."""
    if settings.DRILL_DOMAIN:
        return Domain.objects.filter(name=settings.DRILL_DOMAIN)
    return Domain.objects.filter(is_drill=False)
