"""Gives a person the mailbox of their address. Rules of mailboxes: spool.queue.mailboxes."""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from spool.enums import MailboxKind
from spool.models import Domain, Mailbox, MailboxAlias
from spool.queue import mailboxes
from spool.queue.addresses import AddressError, normalise


@transaction.atomic
def give_mailbox(user: User, *, now: datetime) -> Mailbox | None:
    """The personal mailbox of the person's own address, made or taken over if nobody has it.

    None if the address is not in a protected domain, is an alias, is shared, or belongs to somebody else.
    """
    try:
        address = normalise(user.email)
    except AddressError:
        return None
    if not Domain.objects.filter(name=address.rpartition("@")[2]).exists():
        return None
    if MailboxAlias.objects.filter(address=address).exists():
        return None
    found = Mailbox.objects.filter(address=address).first()
    if found is None:
        return mailboxes.add(address, now=now, name=user.name, user=user)
    if found.kind != MailboxKind.PERSONAL or found.user_id not in {None, user.pk}:
        return None
    if found.user_id is None:
        mailboxes.assign(found, user, now=now)
    return found


def why_without(user: User) -> str:
    """Why `give_mailbox` gave none."""
    try:
        name = normalise(user.email).rpartition("@")[2]
    except AddressError as error:
        return str(error)
    if not Domain.objects.filter(name=name).exists():
        return _("%(name)s is not a protected domain") % {"name": name}
    return _("the address is an alias, a shared mailbox or somebody else's")
