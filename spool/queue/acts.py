"""What people do to deliveries: hold, release, retry, redeliver, bounce, remove; each one transaction with its event.

An act that does not fit the delivery's state is an ActError and changes nothing. The drain's leases are respected:
what is under way is never pulled back.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from audit.record import Target, record
from audit.tags import Tag
from spool.enums import FINISHED, UNFINISHED, DeliveryState, Direction
from spool.ids import decode
from spool.models import Delivery
from spool.queue import bounce as notices
from spool.queue import ingest
from spool.queue.expiry import NOT_WARNED
from spool.smtp.client import Result
from spool.smtp.replies import Outcome, Phase


class ActError(Exception):
    """The act does not fit; the text is a sentence for the person who tried."""


def find(public_id: str) -> list[Delivery]:
    """The delivery with this id, or all deliveries of the message with it. Raises ActError."""
    try:
        key = decode(public_id)
    except ValueError as error:
        raise ActError(_("%(id)s is not an id: %(why)s.") % {"id": public_id, "why": error}) from error
    rows = Delivery.objects.select_related("message", "route")
    found = list(rows.filter(pk=key)) or list(rows.filter(message=key).order_by("pk"))
    if not found:
        raise ActError(_("Nothing in the spool has the id %(id)s.") % {"id": public_id})
    return found


def _locked(delivery: Delivery) -> Delivery:
    return Delivery.objects.select_for_update(of=("self",)).select_related("message").get(pk=delivery.pk)


def _locked_with(reason: str, delivery: Delivery) -> Delivery:
    """The row, locked, for an act that needs a reason. Raises ActError."""
    delivery = _locked(delivery)
    if not reason.strip():
        raise _refuse(delivery, _("a reason is needed."))
    return delivery


def _refuse(delivery: Delivery, why: str) -> ActError:
    state = DeliveryState(delivery.state).label
    return ActError(
        _("%(id)s (%(to)s, %(state)s): %(why)s")
        % {"id": delivery.public_id, "to": delivery.forward_path, "state": state, "why": why}
    )


def _record(tag: Tag, delivery: Delivery, reason: str, now: datetime) -> None:
    target = Target("delivery", delivery.public_id, delivery.forward_path)
    record(tag, target=target, detail={"reason": reason}, at=now)


@transaction.atomic
def hold(delivery: Delivery, *, reason: str, now: datetime) -> None:
    """Keep it from being tried until somebody releases it. Raises ActError."""
    delivery = _locked(delivery)
    if delivery.state not in UNFINISHED:
        raise _refuse(delivery, _("it is finished."))
    if delivery.held:
        raise _refuse(delivery, _("it is held already."))
    Delivery.objects.filter(pk=delivery.pk).update(held=True, reason=reason[:255])
    _record(Tag.DELIVERY_HELD, delivery, reason, now)


@transaction.atomic
def release(delivery: Delivery, *, reason: str, now: datetime) -> None:
    """End a hold, or send mail that waits in review on its way again. Raises ActError."""
    delivery = _locked(delivery)
    if not delivery.held and delivery.state != DeliveryState.REVIEW:
        raise _refuse(delivery, _("it is neither held nor in review."))
    _requeue(delivery, now=now)
    _record(Tag.DELIVERY_RELEASED, delivery, reason, now)


@transaction.atomic
def retry(delivery: Delivery, *, reason: str, now: datetime) -> None:
    """Make it due now. Raises ActError."""
    delivery = _locked(delivery)
    if delivery.held:
        raise _refuse(delivery, _("it is held; release it first."))
    if delivery.state not in (DeliveryState.QUEUED, DeliveryState.REVIEW):
        raise _refuse(delivery, _("only waiting mail can be tried again."))
    _requeue(delivery, now=now)
    _record(Tag.DELIVERY_RETRIED, delivery, reason, now)


def _requeue(delivery: Delivery, *, now: datetime) -> None:
    changes: dict[str, object] = {"held": False, **NOT_WARNED}
    if delivery.held:
        changes["reason"] = ""  # that of the hold, which is over
    if delivery.state != DeliveryState.LEASED:  # what is under way keeps its lease
        changes |= {"state": DeliveryState.QUEUED, "next_attempt_at": now}
    Delivery.objects.filter(pk=delivery.pk).update(**changes)


@transaction.atomic
def redeliver(delivery: Delivery, *, reason: str, now: datetime) -> None:
    """Send a finished delivery once more from its safety copy. Raises ActError."""
    delivery = _locked_with(reason, delivery)
    if delivery.state not in FINISHED:
        raise _refuse(delivery, _("it is not finished; use retry or release."))
    if delivery.message.purged_at is not None or delivery.message.content_key is None:
        raise _refuse(delivery, _("its content was erased."))
    Delivery.objects.filter(pk=delivery.pk).update(
        state=DeliveryState.QUEUED,
        finished_at=None,
        held=False,
        next_attempt_at=now,
        expires_at=now + timedelta(days=settings.EXPIRY_DAYS),
        **NOT_WARNED,
        reason=reason[:255],
        visible_at=now if delivery.direction == Direction.INBOUND else None,
    )
    _record(Tag.DELIVERY_REDELIVERED, delivery, reason, now)


@transaction.atomic
def remove(delivery: Delivery, *, reason: str, now: datetime) -> None:
    """Withdraw it: its owner no longer sees it, no next hop gets it, and nobody is told. Raises ActError.

    The copy is kept for its time, and `redeliver` takes the act back.
    """
    delivery = _waiting(delivery, reason)
    _end(delivery, DeliveryState.REMOVED, reason=reason, now=now)
    _record(Tag.DELIVERY_REMOVED, delivery, reason, now)


@transaction.atomic
def bounce(delivery: Delivery, *, reason: str, now: datetime) -> None:
    """Give up mail written here and tell its author by a DSN. Raises ActError.

    Mail from outside has no author here, and automatic DSNs go to nobody else (rule 7).
    """
    delivery = _waiting(delivery, reason)
    given_up = Result(
        delivery.forward_path, Phase.RCPT, Outcome.PERMANENT, delivery.last_code, text=delivery.last_reply or reason
    )
    notice = notices.failed(delivery, given_up, now=now)
    if notice is None:
        raise _refuse(delivery, _("only mail written here can be bounced; `remove` withdraws it."))
    _end(delivery, DeliveryState.BOUNCED, reason=reason, now=now)
    ingest.store([notice], now=now)
    _record(Tag.DELIVERY_BOUNCED, delivery, reason, now)


def _waiting(delivery: Delivery, reason: str) -> Delivery:
    """The row, locked, if a person may end it. Raises ActError."""
    delivery = _locked_with(reason, delivery)
    if delivery.state in FINISHED:
        raise _refuse(delivery, _("it is finished."))
    if delivery.state == DeliveryState.LEASED:
        raise _refuse(delivery, _("it is being delivered at this moment; hold it, then try again."))
    return delivery


def _end(delivery: Delivery, state: DeliveryState, *, reason: str, now: datetime) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(state=state, finished_at=now, held=False, reason=reason[:255])


def delivered_since(moment: datetime, *, domain: str) -> Sequence[Delivery]:
    """What a primary took since `moment` for a domain: the list to redeliver when it lost mail after its 250."""
    rows = Delivery.objects.filter(
        state=DeliveryState.DELIVERED,
        finished_at__gte=moment,
        direction=Direction.INBOUND,
        route__domains__name=domain,
        message__purged_at__isnull=True,
    )
    return list(rows.select_related("message").order_by("pk"))
