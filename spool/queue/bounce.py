"""Telling our own user that mail he wrote is late or could not be delivered: a DSN into his mailbox.

Only for mail written here (rule 7: automatic DSNs never go outside); einbox sends nobody else a bounce.
"""

import logging
from datetime import datetime

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from spool.ids import encode, new_id
from spool.mime.compose import ComposeError
from spool.mime.dsn import Action, Notice, RecipientStatus, notification
from spool.mime.parsed import MailAddress
from spool.models import Delivery
from spool.queue import content, ingest
from spool.smtp.client import Result

log = logging.getLogger(__name__)


def failed(delivery: Delivery, result: Result, *, now: datetime, expired: bool = False) -> ingest.Ready | None:
    """The notice that nobody tries any more, for the author of `delivery`; None where there is no author of ours."""
    status = RecipientStatus(
        address=delivery.forward_path,
        action=Action.EXPIRED if expired else Action.FAILED,
        status="4.4.7" if expired else result.enhanced or "5.0.0",
        diagnostic=_words(result),
    )
    subject = _("Not delivered: %(subject)s")
    return _prepare(
        delivery, status, subject, _("Your message could not be delivered. Nobody will try it again."), now=now
    )


def delayed(delivery: Delivery, result: Result, *, now: datetime, until: datetime) -> ingest.Ready | None:
    """The notice that `delivery` is late and tried until `until`; None where there is no author of ours."""
    status = RecipientStatus(
        address=delivery.forward_path,
        action=Action.DELAYED,
        status="4.0.0",  # as in the example of RFC 3464 appendix E
        diagnostic=_words(result),
        retry_until=until,
    )
    day = f"{timezone.localtime(until):%Y-%m-%d %H:%M %Z}"
    sentence = _("Your message is not delivered yet. It is tried on until %(day)s, then given up.") % {"day": day}
    return _prepare(delivery, status, _("Late: %(subject)s"), sentence, now=now)


def _words(result: Result) -> str:
    return f"{result.code or ''} {result.text}".strip()


def _prepare(
    delivery: Delivery, status: RecipientStatus, subject: str, sentence: str, *, now: datetime
) -> ingest.Ready | None:
    message = delivery.message
    mailbox = message.author_mailbox
    if mailbox is None:
        return None
    try:
        original = content.read(message)
    except content.ContentError:
        original = b""
    notice = Notice(
        message_id=f"{encode(new_id())}.dsn@{settings.SMTP_HOSTNAME}",
        at=now,
        reporting_host=settings.SMTP_HOSTNAME,
        to=MailAddress(mailbox.name, mailbox.address),
        subject=subject % {"subject": message.subject or _("(no subject)")},
        sentence=sentence,
        recipients=(status,),
        original=original,
        arrived=message.accepted_at,
    )
    try:
        raw = notification(notice)
    except ComposeError:  # the event says that he was not told; all others wait behind this one
        log.error("no notice can be written about delivery %s", delivery.public_id)
        return None
    recipient = ingest.Recipient(mailbox.address, mailbox.domain.route_id, mailbox_id=mailbox.pk, visible=True)
    return ingest.prepare(ingest.Incoming(raw=raw, recipients=(recipient,), reverse_path=""))
