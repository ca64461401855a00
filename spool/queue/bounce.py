"""Telling our own user that mail he wrote could not be delivered: a DSN into his mailbox, by the way of all mail.

Only for mail written here (rule 7: automatic DSNs never go outside); einbox sends nobody else a bounce.
"""

from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext as _

from spool.enums import Direction
from spool.ids import encode, new_id
from spool.mime.dsn import Action, Notice, RecipientStatus, failure
from spool.mime.parsed import MailAddress
from spool.models import Delivery
from spool.queue import content, ingest
from spool.smtp.client import Result


def prepare(delivery: Delivery, result: Result, *, now: datetime, expired: bool = False) -> ingest.Ready | None:
    """The notice for the author of `delivery`, ready to be stored; None where there is no author of ours."""
    message = delivery.message
    mailbox = message.author_mailbox
    if delivery.direction != Direction.OUTBOUND or mailbox is None:
        return None
    try:
        original = content.read(message)
    except content.ContentError:
        original = b""
    status = RecipientStatus(
        address=delivery.forward_path,
        action=Action.EXPIRED if expired else Action.FAILED,
        status="4.4.7" if expired else result.enhanced or "5.0.0",
        diagnostic=f"{result.code or ''} {result.text}".strip(),
    )
    notice = Notice(
        message_id=f"{encode(new_id())}.dsn@{settings.SMTP_HOSTNAME}",
        at=now,
        reporting_host=settings.SMTP_HOSTNAME,
        to=MailAddress(mailbox.name, mailbox.address),
        subject=_("Not delivered: %(subject)s") % {"subject": message.subject or _("(no subject)")},
        sentence=_("Your message could not be delivered. Nobody will try it again."),
        recipients=(status,),
        original=original,
        arrived=message.accepted_at,
    )
    recipient = ingest.Recipient(mailbox.address, mailbox.domain.route_id, mailbox_id=mailbox.pk, visible=True)
    return ingest.prepare(ingest.Incoming(raw=failure(notice), recipients=(recipient,), reverse_path=""))
