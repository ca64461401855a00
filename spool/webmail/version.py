"""A cheap fingerprint of what a list shows, so that a poll that finds nothing new costs three aggregates.

Counts, newest keys and overlay counts instead of the rows themselves; no content column, no decryption.
"""

from datetime import datetime
from hashlib import sha256

from django.db.models import Count, Max, Q

from accounts.models import User
from spool.enums import UNFINISHED, DeliveryState, ParseState
from spool.models import Mailbox, Overlay
from spool.webmail import access, places
from spool.webmail.listing import LEAVING
from spool.webmail.status import StatusLine

_MARKS = ("archived", "starred", "trashed", "junk")


def of_list(user: User, *, folder: str, box: Mailbox | None, status: StatusLine, now: datetime) -> str:
    """An entity tag (RFC 9110 section 8.8.3), quotes included."""
    mine = access.deliveries(user)
    here = mine.filter(state__in=UNFINISHED).aggregate(
        Count("pk"), Max("pk"), Max("visible_at"), read=Count("pk", ~Q(message__parse_state=ParseState.PENDING))
    )
    gone = mine.filter(state=DeliveryState.DELIVERED, finished_at__gt=now - LEAVING)
    going = gone.aggregate(Count("pk"), Max("finished_at"))
    marks = Overlay.objects.filter(user=user).aggregate(
        Count("read_at"), **{name: Count("pk", Q(**{name: True})) for name in _MARKS}
    )
    words = (status.headline, status.short, status.announcement, status.delivered, status.total, status.left)
    seen = (
        user.pk,
        folder,
        box and box.pk,
        status.writing_open,
        *here.values(),
        *going.values(),
        *marks.values(),
        *words,
    )
    return f'"{sha256(repr((*seen, places.waiting(user))).encode()).hexdigest()[:32]}"'
