"""A cheap fingerprint of what a list shows, so that a poll that finds nothing new costs three aggregates.

Counts, newest keys and overlay counts instead of the rows themselves; no content column, no decryption.
"""

from datetime import datetime
from hashlib import sha256

from django.db.models import Count, Max, Q

from spool.enums import UNFINISHED, ParseState
from spool.models import Mailbox, Overlay
from spool.webmail import access
from spool.webmail.listing import just_delivered
from spool.webmail.places import Counts
from spool.webmail.status import StatusLine

_MARKS = ("archived", "starred", "trashed", "junk")


def of_list(counts: Counts, *, folder: str, box: Mailbox | None, status: StatusLine, now: datetime) -> str:
    """An entity tag (RFC 9110 section 8.8.3), quotes included."""
    user, mine = counts.user, access.deliveries(counts.user)
    here = mine.filter(state__in=UNFINISHED).aggregate(
        Count("pk"), Max("pk"), Max("visible_at"), read=Count("pk", ~Q(message__parse_state=ParseState.PENDING))
    )
    going = mine.filter(just_delivered(now)).aggregate(Count("pk"), Max("finished_at"))
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
    return f'"{sha256(repr((*seen, counts.waiting)).encode()).hexdigest()[:32]}"'
