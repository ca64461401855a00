"""Holding a whole route's mail back, and letting it go: a named person's act with a reason.

The drain asks `Route.held` before every claim; what is under way when somebody holds is finished.
"""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from audit.record import Target, record
from audit.tags import Tag
from spool.models import Route
from spool.queue import expiry

REASON = 255  # characters


class HoldError(Exception):
    """The act does not fit the state of things; the text is a sentence for the person who tried."""


@transaction.atomic
def set_held(route: Route, *, held: bool, reason: str, now: datetime) -> None:
    """Hold or release. Raises HoldError if that is so already, or without a reason."""
    if not reason.strip():
        raise HoldError(_("A reason is needed."))
    row = Route.objects.select_for_update().get(pk=route.pk)
    if row.held == held:
        raise HoldError(_("Mail is held already.") if held else _("Mail is not held."))
    row.held = held
    row.save(update_fields=["held"])
    if not held:
        expiry.warn_anew(row)  # its mail was not tried meanwhile
    tag = Tag.ROUTE_HELD if held else Tag.ROUTE_RELEASED
    record(tag, target=Target("route", str(row.pk), row.name), detail={"reason": reason[:REASON]}, at=now)
