"""Sending what a person wrote: one draft becomes one message, with its deliveries and its event, in one transaction.

The sender is always one of the person's own mailboxes, in the envelope and in From (rule 7). A draft's id becomes
its message's id, so the same draft sent twice at the same moment is one message. Dials nobody: the drain does.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import throttle
from accounts.limits import Limit
from accounts.models.user import User
from audit.record import Target, record
from audit.tags import Tag
from spool.failpoints import failpoint
from spool.mime import headers, reply
from spool.mime.compose import Attachment, ComposeError, Composition, MailAddress, compose
from spool.mime.parsed import ParsedMessage
from spool.models import Draft, Mailbox, Message
from spool.queue import content, drafts, ingest
from spool.queue.drafts import DraftMissingError, Fields, Opened
from spool.queue.ingest import Incoming, Ready
from spool.queue.queries import writing_open
from spool.queue.recipients import CONTROL, Plan, Problem, addresses_of, plan

IDENTIFIER = re.compile(rb"<([^<>\s]{1,900})>")
# docs/threat-model.md, quota on sending: far above what a person writes, far below what a thief wants.
SEND = Limit("send", most=120, window=3600, free=120)


class SubmitError(Exception):
    """Not sent, and nothing was changed; `problems` say why and what to do."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.sentence for problem in problems))
        self.problems = problems


class WritingClosedError(SubmitError):
    """The route of the sender is up and its outage is closed: the normal mail program does this now."""

    def __init__(self) -> None:
        super().__init__(Problem("", _("The mail server works again. Send this from your normal mail program.")))


@dataclass(frozen=True)
class Sent:
    """`again`: it had been sent before, and nothing was done now."""

    message: Message
    again: bool = False


def preview(typed: Fields, mailbox: Mailbox) -> Plan:
    """What sending now would do to each recipient."""
    return plan(to=typed.to, cc=typed.cc, bcc=typed.bcc, mailbox=mailbox)


def submit(user: User, public_id: str, *, now: datetime) -> Sent:
    """Send his draft. Raises SubmitError, WritingClosedError, DraftMissingError. Sending it again is no error."""
    earlier = drafts.sent(user, public_id)
    if earlier is not None:
        return Sent(earlier, again=True)
    try:
        opened = drafts.get(user, public_id)
    except DraftMissingError:
        return _sent_meanwhile(user, public_id)
    planned = _checked(user, opened)
    ready = _written(user, opened, planned, now=now)  # slow: before the transaction
    failpoint("submit.store")
    try:
        with transaction.atomic():
            stored = _store(user, opened, planned, ready, now=now)
    except BaseException:
        content.discard(ready.content)
        raise
    if not stored:
        content.discard(ready.content)
        return _sent_meanwhile(user, public_id)
    return Sent(Message.objects.defer("content").get(pk=opened.draft.pk))


def _sent_meanwhile(user: User, public_id: str) -> Sent:
    message = drafts.sent(user, public_id)
    if message is None:
        raise DraftMissingError
    return Sent(message, again=True)


def _checked(user: User, opened: Opened) -> Plan:
    mailbox = _sender(user, opened.draft)
    if not writing_open(mailbox.domain.route):
        raise WritingClosedError
    typed = opened.fields
    planned = preview(typed, mailbox)
    problems = list(planned.problems)
    if CONTROL.search(typed.subject):
        problems.append(Problem("subject", _("The subject holds a line break or another control character.")))
    if problems:
        raise SubmitError(*problems)
    return planned


def _sender(user: User, draft: Draft) -> Mailbox:
    """Asked again at every sending: a membership may have ended."""
    try:
        return drafts.sender(user, draft.mailbox_id)
    except drafts.DraftError as error:
        raise SubmitError(Problem("from", str(error))) from None


def _written(user: User, opened: Opened, planned: Plan, *, now: datetime) -> Ready:
    """Compose, encrypt and bring the content to its home, under the draft's id."""
    draft, mailbox = opened.draft, _sender(user, opened.draft)
    parent = draft.in_reply_to if opened.fields.kind in {"reply", "reply-all"} else None
    try:
        raw = compose(_composition(user, opened, planned, mailbox, parent, now=now))
    except ComposeError as error:
        raise SubmitError(Problem("body", str(error))) from None
    if len(raw) > settings.MESSAGE_SIZE_LIMIT:
        raise SubmitError(Problem("files", _("The message is too large. Take a file off and send again.")))
    incoming = Incoming(
        raw=raw,
        recipients=tuple(one.recipient for one in planned.everybody),
        reverse_path=mailbox.address,
        author_id=user.pk,
        author_mailbox_id=mailbox.pk,
        in_reply_to_id=parent.pk if parent else None,
    )
    return Ready(incoming, content.prepare(raw, draft.pk), headers.scan(raw))


def _composition(
    user: User, opened: Opened, planned: Plan, mailbox: Mailbox, parent: Message | None, *, now: datetime
) -> Composition:
    typed = opened.fields
    parent_id, chain = _thread(parent)
    files = opened.draft.attachments.order_by("pk")
    return Composition(
        message_id=f"{opened.draft.public_id.lower()}@{mailbox.domain.name}",
        date=timezone.localtime(now),
        from_=MailAddress(mailbox.name or (user.name if mailbox.user_id == user.pk else ""), mailbox.address),
        to=addresses_of(planned.to),
        cc=addresses_of(planned.cc),
        subject=typed.subject,
        text=typed.text(),
        in_reply_to=parent_id,
        references=chain,
        attachments=tuple(Attachment(file.name, file.content_type, drafts.open_file(file)) for file in files),
    )


def _thread(parent: Message | None) -> tuple[str, tuple[str, ...]]:
    """In-Reply-To and References (RFC 5322 section 3.6.4), from the header alone; a cleared message keeps its own."""
    if parent is None:
        return "", ()
    own = parent.message_id if reply.is_id(parent.message_id) else ""
    try:
        raw = content.read(parent)
    except content.ContentError:  # erased: its own id is in the row
        return own, (own,) if own else ()
    head = dict(reversed(headers.fields(raw[: headers.block_end(raw)[0]])))
    older = tuple(match[1].decode("ascii", "replace") for match in IDENTIFIER.finditer(head.get("references", b"")))
    before = headers.message_id(head.get("in-reply-to", b""))
    return own, reply.references(ParsedMessage(message_id=own, in_reply_to=before, references=older[-100:]))


def _store(user: User, opened: Opened, planned: Plan, ready: Ready, *, now: datetime) -> bool:
    """Whether this call made the message: the draft's row decides between two that send it at once."""
    row = Draft.objects.select_for_update().filter(pk=opened.draft.pk, user=user).first()
    if row is None:
        return False
    if row.updated_at != opened.draft.updated_at:
        raise SubmitError(Problem("", _("This draft was changed in another tab. Read it again and send.")))
    if isinstance(throttle.take([throttle.counter(SEND, str(user.pk))], now=now), throttle.Refused):
        raise SubmitError(Problem("", _("Very many messages left in an hour. Try again a little later.")))
    [stored] = ingest.store([ready], now=now)
    inside = sum(not one.outside for one in planned.everybody)
    detail = {
        "mailbox": ready.incoming.reverse_path,
        "recipients": len(planned.everybody),
        "inside": inside,
        "outside": len(planned.everybody) - inside,
        "size": ready.content.size,
    }
    target = Target("message", opened.draft.public_id, ready.incoming.reverse_path)
    record(Tag.MESSAGE_SUBMITTED, target=target, detail=detail, at=now)
    row.delete()
    return bool(stored.delivery_ids)
