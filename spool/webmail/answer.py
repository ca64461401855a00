"""What a reply, a reply to all or a forward starts with. Pure but for looking up the person's own addresses."""

from collections.abc import Iterable

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import User
from spool.mime import reply
from spool.mime.parsed import MailAddress, ParsedMessage
from spool.models import Mailbox, MailboxAlias
from spool.queue import drafts
from spool.queue.addresses import AddressError, normalise
from spool.queue.drafts import Fields

KINDS = ("reply", "reply-all", "forward")
SPECIAL = '",;<>@()\\'


def typed(addresses: Iterable[MailAddress]) -> str:
    """Addresses as a person would type them, so that spool.queue.recipients reads the same back."""
    return ", ".join(_one(address) for address in addresses)


def _one(address: MailAddress) -> str:
    if not address.name:
        return address.address
    name = address.name
    if any(character in name for character in SPECIAL):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{address.address}>"


def own_addresses(user: User) -> set[str]:
    """Every address of his mailboxes, aliases included."""
    boxes = drafts.senders(user)
    aliases = MailboxAlias.objects.filter(mailbox__in=boxes.values("pk"))
    return {*boxes.values_list("address", flat=True), *aliases.values_list("address", flat=True)}


def plain(address: str) -> str:
    """The form in which two addresses are the same: lower case, A-labels, without +subaddress."""
    try:
        local, _at, domain = normalise(address).rpartition("@")
    except AddressError:
        return address.lower()
    return f"{local.partition('+')[0] or local}@{domain}"


def start(kind: str, message: ParsedMessage, *, own: set[str], mailbox: Mailbox) -> Fields:
    """The fields of the page. Raises ValueError for a kind that is not in KINDS."""
    if kind not in KINDS:
        raise ValueError(kind)
    if kind == "forward":
        return Fields(subject=reply.forward_subject(message.subject), quote=_forwarded(message), kind=kind)
    mine = {*own, mailbox.address}
    if message.from_ and plain(message.from_[0].address) in {plain(one) for one in mine}:
        to, cc = message.to, message.cc if kind == "reply-all" else ()  # his own mail, written to again
    else:
        to, cc = reply.reply_recipients(message, own=mine, everyone=kind == "reply-all", same=plain)
    return Fields(
        to=typed(to),
        cc=typed(cc),
        subject=reply.reply_subject(message.subject),
        quote=reply.quote(message.text, intro=_intro(message)),
        kind=kind,
    )


def _intro(message: ParsedMessage) -> str:
    who = ", ".join(one.name or one.address for one in message.from_) or _("Somebody")
    if message.date is None:
        return _("%(who)s wrote:") % {"who": who}
    moment = timezone.localtime(message.date)
    day, time = date_format(moment, "j F Y"), f"{moment:%H:%M}"
    return _("%(who)s wrote on %(day)s at %(time)s:") % {"who": who, "day": day, "time": time}


def _forwarded(message: ParsedMessage) -> str:
    labels = (_("From"), _("Date"), _("Subject"), _("To"))
    return reply.forward_text(message, intro=_("Forwarded message:"), labels=labels)
