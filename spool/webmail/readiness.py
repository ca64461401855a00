"""Is this person ready for the next outage? Facts for the page that has nothing else to say."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django_otp import devices_for_user

from accounts.models import User
from spool.models import Outage
from spool.queue import queries
from spool.webmail import access
from spool.webmail.status import routes_of


@dataclass(frozen=True)
class Fact:
    """One line: done, or something to do before the next outage."""

    done: bool
    title: str
    second: str


@dataclass(frozen=True)
class LastOutage:
    began: datetime
    ended: datetime
    messages: int
    delivered: int


@dataclass(frozen=True)
class Readiness:
    facts: tuple[Fact, ...]
    last: LastOutage | None


def of(user: User) -> Readiness:
    """Factors and addresses of the person, and what the last outage left."""
    boxes = list(access.mailboxes(user).values_list("address", flat=True)[:3])
    return Readiness((_factor(user), _address(boxes)), _last_outage(user))


def _factor(user: User) -> Fact:
    if any(devices_for_user(user, confirmed=True)):
        return Fact(True, _("Second factor"), _("You logged in with it just now"))
    return Fact(False, _("No second factor yet"), _("Ask IT for an enrolment link"))


def _address(boxes: list[str]) -> Fact:
    if boxes:
        return Fact(True, _("Your addresses are known here"), ", ".join(boxes))
    return Fact(False, _("No mailbox belongs to you yet"), _("Ask IT to add your address"))


def _last_outage(user: User) -> LastOutage | None:
    outage = Outage.objects.filter(route__in=routes_of(user), closed_at__isnull=False).order_by("-closed_at").first()
    if outage is None or outage.closed_at is None:
        return None
    delivered, total = queries.messages(access.deliveries(user).filter(outage=outage))
    return LastOutage(outage.opened_at, outage.closed_at, total, delivered)
