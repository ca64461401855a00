"""The end of mail: erasing safety copies, and giving up what could not be delivered in all its time.

Nothing is erased before every delivery of a message is finished (rule 6); nothing expires while its route is not
up (rule 5).
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from audit.record import Target, record
from audit.tags import Tag
from spool.enums import UNFINISHED, DeliveryState, RouteState
from spool.models import Delivery, Message
from spool.queue import bounce, content, ingest, scope
from spool.queue.settle import batch_detail
from spool.smtp.client import Result
from spool.smtp.replies import Outcome, Phase

KEPT_FOR_REVIEW = timedelta(days=30)  # removed, bounced and expired mail can be redelivered so long (design 2)


def purge(*, now: datetime, limit: int = 500) -> int:
    """Erase the content of messages whose safety time is over. Returns how many."""
    deliveries = Delivery.objects.filter(message=OuterRef("pk"))
    delivered_before = now - timedelta(hours=settings.SAFETY_COPY_HOURS)
    keep = Q(state__in=UNFINISHED) | Q(state=DeliveryState.DELIVERED, finished_at__gt=delivered_before)
    keep |= ~Q(state=DeliveryState.DELIVERED) & Q(finished_at__gt=now - KEPT_FOR_REVIEW)
    over = (
        Message.objects.filter(purged_at__isnull=True, accepted_at__lte=delivered_before)
        .filter(Exists(deliveries), ~Exists(deliveries.filter(keep)))
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


def expire(*, now: datetime, limit: int = 200) -> int:
    """Give up deliveries that were tried in vain for all their time on a route that is up. Returns how many."""
    over = Delivery.objects.filter(
        state=DeliveryState.QUEUED, held=False, expires_at__lte=now, attempts__gt=0, route__state=RouteState.UP
    )
    rows = over.filter(route__in=scope.routes()).select_related("message__author_mailbox__domain")
    return sum(_expire(delivery, now=now) for delivery in rows.order_by("expires_at")[:limit])


def _expire(delivery: Delivery, *, now: datetime) -> bool:
    reason = _("not delivered within %(days)d days") % {"days": settings.EXPIRY_DAYS}
    result = Result(delivery.forward_path, Phase.RCPT, Outcome.PERMANENT, delivery.last_code, text=delivery.last_reply)
    notice = bounce.prepare(delivery, result, now=now, expired=True)
    with transaction.atomic():
        mine = Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.QUEUED, held=False, expires_at__lte=now)
        if not mine.update(state=DeliveryState.EXPIRED, finished_at=now, reason=reason):
            return False
        if notice:
            ingest.store([notice], now=now)
        target = Target("delivery", delivery.public_id, delivery.forward_path)
        record(Tag.DELIVERY_EXPIRED, target=target, detail={"days": settings.EXPIRY_DAYS}, at=now)
    return True


def housekeeping(*, now: datetime) -> None:
    """All that is neither urgent nor a person's wish."""
    expire(now=now)
    purge(now=now)
    content.move_chunks()
    content.collect_orphans()
