"""The people: whether they can log in, and whether somebody reads what comes for all."""

from collections.abc import Iterator
from datetime import datetime

from accounts.enums import Role
from accounts.models import TOTPDevice, User
from einbox.finding import FAIL, OK, WARN, Finding
from spool.enums import MailboxKind
from spool.models import Mailbox


def people(_now: datetime) -> Iterator[Finding]:
    active = User.objects.filter(is_active=True, is_drill=False)
    ready = set(TOTPDevice.objects.filter(user__in=active, confirmed=True).values_list("user_id", flat=True))
    total, with_factor = active.count(), len(ready)
    admins = active.filter(role=Role.ADMIN, pk__in=ready).count()
    if not admins:
        yield Finding("admins", FAIL, "No admin can log in: `user add EMAIL --role admin` and use the link it prints.")
    state = OK if total and with_factor == total else WARN
    sentence = f"{with_factor} of {total} people have a second factor"
    yield Finding("people", state, sentence + ("." if state == OK else "; the others cannot log in: `user list`."))
    for address in _unread():
        sentence = f"Nobody reads {address}: `mailbox member {address} EMAIL`."
        yield Finding("shared mailbox", WARN, sentence)
    if demo := active.filter(is_demo=True).count():
        yield Finding("demo", WARN, f"{demo} demo accounts: this installation only listens on this machine.")


def _unread() -> Iterator[str]:
    """Shared mailboxes that can receive mail and have no member who can log in."""
    shared = Mailbox.objects.filter(kind=MailboxKind.SHARED, is_active=True, domain__is_drill=False)
    yield from shared.exclude(members__user__is_active=True).order_by("address").values_list("address", flat=True)
