"""Addresses learned from the primary's own answers: its 250 makes one known, its 5xx 5.1.x makes it unknown again.

Written after the answers themselves are recorded, in a transaction of its own: what is lost here is learned from
the next mail. Knows only inbound mail of protected domains, never a drill's. Sends nothing, decides no reply.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.utils.translation import gettext as _

from audit.record import Target, record
from audit.tags import Tag
from spool.enums import Direction
from spool.models import Delivery, Domain, LearnedAddress
from spool.queue.addresses import AddressError, normalise
from spool.smtp.client import Result
from spool.smtp.replies import Outcome

log = logging.getLogger(__name__)

PER_DOMAIN = 10_000  # the one confirmed longest ago makes room
CONFIRM_EVERY = timedelta(hours=1)  # a busy address is not written at each mail
# RFC 3463 section 3.2, X.1.x: the recipient does not exist. X.1.7 and X.1.8 speak of the sender.
SENDER_TROUBLE = frozenset({"5.1.7", "5.1.8"})


class LearnedError(Exception):
    """A learned address cannot be removed as asked; the text is a sentence for the admin."""


def note(answers: Iterable[tuple[Delivery, Result]], *, now: datetime) -> None:
    """Learn from recorded answers of a primary. Never raises: the mail's own record stands without it."""
    good, gone = set(), set()
    for delivery, result in answers:
        if delivery.direction != Direction.INBOUND:
            continue
        if result.outcome is Outcome.DELIVERED and (delivery.mailbox_id is None or delivery.unknown_recipient):
            good.add(delivery.forward_path)
        elif result.outcome is Outcome.PERMANENT and _no_such_recipient(result):
            gone.add(delivery.forward_path)
    if not good and not gone:
        return
    try:
        with transaction.atomic():
            _remember(_by_domain(good - gone), now)
            _forget(_by_domain(gone))
    except DatabaseError as error:
        log.warning("what the primary's answers tell of addresses is not noted: %s", type(error).__name__)


def _no_such_recipient(result: Result) -> bool:
    return result.enhanced.startswith("5.1.") and result.enhanced not in SENDER_TROUBLE


def _by_domain(paths: Iterable[str]) -> dict[Domain, list[str]]:
    """The addresses in order, by the protected domain they belong to; a drill's are left out."""
    addresses = set()
    for path in paths:
        try:
            addresses.add(normalise(path))
        except AddressError:  # accepted by an older grammar
            continue
    names = {address.rpartition("@")[2] for address in addresses}
    domains = Domain.objects.filter(name__in=names, is_drill=False).order_by("pk")
    return {one: sorted(address for address in addresses if address.endswith(f"@{one.name}")) for one in domains}


def _remember(found: dict[Domain, list[str]], now: datetime) -> None:
    for domain, addresses in found.items():
        known = LearnedAddress.objects.filter(address__in=addresses)
        rows = dict(known.values_list("address", "confirmed_at"))
        stale = [address for address, at in rows.items() if now - at >= CONFIRM_EVERY]
        # Whoever holds a row confirms or forgets it just now: waiting in another order would be a deadlock.
        due = LearnedAddress.objects.filter(address__in=stale).order_by("pk").select_for_update(skip_locked=True)
        LearnedAddress.objects.filter(pk__in=[row.pk for row in due]).update(confirmed_at=now)
        new = [address for address in addresses if address not in rows]
        if not new:
            continue
        LearnedAddress.objects.bulk_create(
            (LearnedAddress(domain=domain, address=address, learned_at=now, confirmed_at=now) for address in new),
            ignore_conflicts=True,
        )
        _make_room(domain)


def _make_room(domain: Domain) -> None:
    """Keep the bound: what the primary confirmed longest ago goes."""
    rows = LearnedAddress.objects.filter(domain=domain)
    over = rows.count() - PER_DOMAIN
    if over > 0:
        oldest = rows.order_by("confirmed_at", "pk").select_for_update(skip_locked=True)[:over]
        LearnedAddress.objects.filter(pk__in=[row.pk for row in oldest]).delete()


def _forget(found: dict[Domain, list[str]]) -> None:
    for addresses in found.values():
        rows = LearnedAddress.objects.filter(address__in=addresses).order_by("pk").select_for_update(skip_locked=True)
        LearnedAddress.objects.filter(pk__in=[row.pk for row in rows]).delete()


def listed() -> list[LearnedAddress]:
    """Learned addresses in order."""
    return list(LearnedAddress.objects.select_related("domain").order_by("address"))


@transaction.atomic
def remove(address: str, *, now: datetime) -> None:
    """Forget a learned address; the primary's next 250 for it teaches it again. Raises LearnedError."""
    try:
        address = normalise(address)
    except AddressError as error:
        raise LearnedError(_("%(text)s is not an address: %(why)s.") % {"text": address, "why": error}) from error
    removed, _rows = LearnedAddress.objects.filter(address=address).delete()
    if not removed:
        raise LearnedError(_("%(address)s was not learned.") % {"address": address})
    record(Tag.LEARNED_REMOVED, target=Target("address", address[:64], address), at=now)
