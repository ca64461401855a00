"""The rule of what is seen: mail of a healthy route stays hidden until a try failed or a minute passed."""

from datetime import datetime, timedelta

from django.db.models import Q

from spool.enums import UNFINISHED, Direction, RouteState
from spool.models import Delivery
from spool.queue import scope

HIDDEN_FOR = timedelta(seconds=60)


def show(*, now: datetime) -> int:
    """Show inbound mail that waits: its route is not up, or it has waited long enough. Returns how many."""
    hidden = Delivery.objects.filter(visible_at__isnull=True, state__in=UNFINISHED, direction=Direction.INBOUND)
    ahead = Q(created_at__gt=now + HIDDEN_FOR)  # accepted before the clock was set back
    waiting = hidden.filter(~Q(route__state=RouteState.UP) | Q(created_at__lte=now - HIDDEN_FOR) | ahead)
    ids = list(waiting.filter(route__in=scope.routes()).values_list("pk", flat=True)[:5000])
    return Delivery.objects.filter(pk__in=ids, visible_at__isnull=True).update(visible_at=now) if ids else 0
