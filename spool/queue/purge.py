"""The end of mail: erasing safety copies. Nothing is erased before every delivery is finished (rule 6).

Giving up what could not be delivered is spool.queue.expiry's.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from audit.record import Target, record
from audit.tags import Tag
from spool.enums import UNFINISHED, DeliveryState
from spool.models import Delivery, Message
from spool.queue import compact, content, expiry, searchindex
from spool.queue.settle import batch_detail

KEPT_FOR_REVIEW = timedelta(days=30)  # removed, bounced and expired mail can be redelivered so long


def kept(*, now: datetime) -> Q:
    """Deliveries whose content must stay: unfinished, or finished and within its safety time."""
    delivered = Q(state=DeliveryState.DELIVERED)
    recent = Q(finished_at__gt=_delivered_before(now))
    return Q(state__in=UNFINISHED) | delivered & recent | ~delivered & Q(finished_at__gt=now - KEPT_FOR_REVIEW)


def _delivered_before(now: datetime) -> datetime:
    return now - _safety_time()


def _safety_time() -> timedelta:
    return timedelta(hours=settings.SAFETY_COPY_HOURS)


def kept_until(rows: QuerySet[Delivery]) -> datetime:
    """When the content of the last of these finished deliveries, of which there is one at least, may be erased."""
    delivered = Q(state=DeliveryState.DELIVERED)
    found = rows.aggregate(copies=Max("finished_at", filter=delivered), others=Max("finished_at", filter=~delivered))
    spans = {"copies": _safety_time(), "others": KEPT_FOR_REVIEW}
    ends: list[datetime] = [at + spans[name] for name, at in found.items() if at is not None]
    return max(ends)


def purge(*, now: datetime, limit: int = 500) -> int:
    """Erase the content of messages whose safety time is over. Returns how many."""
    deliveries = Delivery.objects.filter(message=OuterRef("pk"))
    over = (
        Message.objects.filter(purged_at__isnull=True, accepted_at__lte=_delivered_before(now))
        .filter(Exists(deliveries), ~Exists(deliveries.filter(kept(now=now))))
        .order_by("pk")
    )
    messages = list(over.only("pk", "content_hash")[:limit])
    if not messages:
        return 0
    with transaction.atomic():
        erased = content.erase(messages, now=now)
        detail = batch_detail((message.pk, bytes(message.content_hash)) for message in messages)
        record(Tag.BATCH_PURGED, target=Target("spool", ""), detail=detail, at=now)
    return erased


def housekeeping(*, now: datetime) -> None:
    """All that is neither urgent nor a person's wish."""
    expiry.warn(now=now)
    expiry.expire(now=now)
    if purge(now=now):
        compact.compact()
    content.move_chunks()
    content.collect_orphans()
    searchindex.tidy()
