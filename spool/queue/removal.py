"""Ending the protection of a domain: only once its mail has gone its way, and without losing what its history names.

The row stays, marked: mailboxes, messages, deliveries and outages hang on it, and adding the name again takes it up
(spool.queue.domains). A server that has not read of it yet takes mail for it for some seconds more; scope.gone keeps
the route alive until that is delivered.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.record import Target, record
from audit.tags import Tag
from spool.enums import UNFINISHED, DeliveryState, Direction
from spool.models import Delivery, Domain, LearnedAddress, MailboxAlias, PlannedOutage, Route
from spool.queue import outage, queries, signing
from spool.queue.domains import DomainError, get
from spool.queue.purge import kept, kept_until
from spool.queue.transitions import finish

REASON = 255  # characters
NAMED = 3  # addresses in a sentence


@transaction.atomic
def remove(name: str, *, reason: str = "", now: datetime) -> Domain:
    """Stop protecting a domain; what it was stays readable. Raises DomainError, and then nothing was changed.

    A domain that never had a mailbox or mail needs no reason.
    """
    # The route first, as whoever changes domains or routes does; then the domain as it is now.
    route = Route.objects.select_for_update().get(pk=get(name).route_id)
    domain = get(name)
    if not reason.strip() and _was_used(domain):
        raise DomainError(_("%(name)s has mailboxes or had mail: a reason is needed.") % {"name": domain.name})
    _refuse_waiting(domain)
    _refuse_copies(domain, now=now)
    _refuse_aliases(domain)
    if not route.domains.exclude(pk=domain.pk).exists():
        _rest(route, reason=reason, now=now)
    LearnedAddress.objects.filter(domain=domain).delete()
    signing.retire(domain, now=now)
    Domain.objects.filter(pk=domain.pk).update(removed_at=now)
    detail = {"reason": reason[:REASON], "mailboxes": domain.mailboxes.count()}
    record(Tag.DOMAIN_REMOVED, target=Target("domain", domain.name, domain.name), detail=detail, at=now)
    domain.removed_at = now
    return domain


def removed() -> list[Domain]:
    """Domains that were removed, by name."""
    return list(Domain.everything.filter(removed_at__isnull=False).order_by("name"))


def _was_used(domain: Domain) -> bool:
    """The shared mailbox that the policy dropbox made by itself is no use."""
    others = domain.mailboxes.exclude(pk=domain.dropbox_id) if domain.dropbox_id else domain.mailboxes.all()
    return others.exists() or Delivery.objects.filter(route=domain.route_id).exists()


def _refuse_waiting(domain: Domain) -> None:
    """Mail to it, and mail of its people, who must still be told if that fails."""
    rows = Delivery.objects.filter(state__in=UNFINISHED)
    rows = rows.filter(Q(route=domain.route_id) | Q(message__author_mailbox__domain=domain))
    incoming = rows.filter(direction=Direction.INBOUND).count()
    outgoing = rows.filter(direction=Direction.OUTBOUND).count()
    if not incoming and not outgoing:
        return
    words = {
        "name": domain.name,
        "incoming": incoming,
        "outgoing": outgoing,
        "review": rows.filter(state=DeliveryState.REVIEW).count(),
    }
    raise DomainError(
        _(
            "Mail of %(name)s is still on its way: %(incoming)d deliveries to its people, %(outgoing)d to others, "
            "%(review)d of them in review. `queue list --domain %(name)s` shows them. Let them go home, release what "
            "is held or in review, name another server that takes them (`domain set --primary`), or end them by "
            "`queue bounce` and `queue remove`; then remove it."
        )
        % words
    )


def _refuse_copies(domain: Domain, *, now: datetime) -> None:
    """Safety copies could not be delivered again without the domain (rule 6)."""
    rows = Delivery.objects.filter(
        kept(now=now), route=domain.route_id, finished_at__isnull=False, message__purged_at__isnull=True
    )
    count = rows.values("message").distinct().count()
    if not count:
        return
    until = timezone.localtime(kept_until(rows))
    raise DomainError(
        _("einbox keeps safety copies of %(count)d messages of %(name)s until %(until)s. Remove it then.")
        % {"count": count, "name": domain.name, "until": f"{until:%Y-%m-%d %H:%M %Z}"}
    )


def _refuse_aliases(domain: Domain) -> None:
    """Addresses of domains that stay would lead nowhere, and their senders would hear 550."""
    rows = MailboxAlias.objects.filter(mailbox__domain=domain, mailbox__is_active=True).order_by("address")
    names = set(Domain.objects.exclude(pk=domain.pk).values_list("name", flat=True))
    found = [address for address in rows.values_list("address", flat=True) if address.rpartition("@")[2] in names]
    if found:
        shown = ", ".join(found[:NAMED]) + (", …" if len(found) > NAMED else "")
        raise DomainError(
            _("%(count)d addresses of other domains lead to mailboxes of %(name)s: %(shown)s. Move them first.")
            % {"count": len(found), "name": domain.name, "shown": shown}
        )


def _rest(route: Route, *, reason: str, now: datetime) -> None:
    """Nothing is planned, open or held on a route that nobody looks at any more."""
    for plan in PlannedOutage.objects.filter(route=route):
        outage.cancel_plan(plan, reason=reason[:REASON], now=now)
    if (running := queries.open_outage_of(route)) is not None:
        finish(running, now=now)
    Route.objects.filter(pk=route.pk).update(held=False)
