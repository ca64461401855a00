"""The only way a view gets a mailbox, a delivery, a message or an attachment.

One query set gate per model. What is not his own a person does not get to know of: 404, never 403 (row C42).
Roles open nothing here: admins and security read no bodies. Reading is recorded in the transaction that
reads, before the body leaves (rule 10).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404

from accounts.models import User
from audit.record import Target, record
from audit.tags import Tag
from spool.enums import DeliveryState, Direction, MailboxKind
from spool.ids import decode
from spool.models import Delivery, Mailbox, MailboxMember, Message, Overlay


def mailboxes(user: User) -> QuerySet[Mailbox]:
    """His personal mailboxes and the shared ones he is a member of."""
    membership = MailboxMember.objects.filter(mailbox=OuterRef("pk"), user=user)
    return Mailbox.objects.filter(
        Q(kind=MailboxKind.PERSONAL, user=user) | Q(Exists(membership), kind=MailboxKind.SHARED), is_active=True
    )


def mailbox_keys(user: User) -> frozenset[int]:
    """Keys of his mailboxes; asked once for each User object, which lives as long as one request."""
    keys: frozenset[int] | None = getattr(user, "_mailbox_keys", None)
    if keys is None:
        keys = frozenset(mailboxes(user).values_list("pk", flat=True))
        user._mailbox_keys = keys  # type: ignore[attr-defined]  # noqa: SLF001 - accounts knows no mailboxes
    return keys


def deliveries(user: User) -> QuerySet[Delivery]:
    """What arrived for his mailboxes and was shown, finished or not; never what security withdrew."""
    return Delivery.objects.filter(
        ~Q(state=DeliveryState.REMOVED),
        direction=Direction.INBOUND,
        mailbox__in=mailbox_keys(user),
        visible_at__isnull=False,
    )


def messages(user: User) -> QuerySet[Message]:
    """Messages that arrived for him, and those he wrote himself."""
    arrived = deliveries(user).filter(message=OuterRef("pk"))
    return Message.objects.filter(Q(Exists(arrived)) | Q(author=user))


def message(user: User, public_id: str) -> Message:
    """One message by its 13 characters. Raises Http404 for garbage, for nothing and for others' mail alike."""
    try:
        key = decode(public_id)
    except ValueError:
        raise Http404 from None
    found = messages(user).filter(pk=key).defer("content").first()
    if found is None:
        raise Http404
    return found


def mailbox_of(user: User, message: Message) -> Mailbox | None:
    """The mailbox through which he sees an arrived message: his own before shared ones."""
    return own_before_shared(deliveries(user).filter(message=message).select_related("mailbox").order_by("pk"))


def own_before_shared(arrived: Iterable[Delivery]) -> Mailbox | None:
    """Of the mailboxes of these deliveries the personal one, else the first; None without any."""
    boxes = [one.mailbox for one in arrived if one.mailbox is not None]
    return min(boxes, key=lambda box: box.kind == MailboxKind.SHARED, default=None)


def mailbox_label(user: User, message: Message) -> str:
    """The address for events about reading: of the mailbox, or of the one he wrote it from."""
    box = mailbox_of(user, message)
    if box is not None:
        return box.address
    return message.author_mailbox.address if message.author_mailbox else ""


def open_message(user: User, public_id: str, *, tag: Tag, now: datetime, **detail: Any) -> Message:
    """A message whose content is about to be shown; the event is committed before this returns."""
    with transaction.atomic():
        found = message(user, public_id)
        noted = {"mailbox": mailbox_label(user, found), **detail}
        if "size" in tag.info.keys:
            noted.setdefault("size", found.size)
        record(tag, target=Target("message", found.public_id, found.from_address), detail=noted, at=now)
        mark_read(user, found, now=now)
    return found


def mark_read(user: User, found: Message, *, now: datetime) -> None:
    """Opening marks as read, once; the event of that is the opening itself."""
    row, _made = Overlay.objects.get_or_create(user=user, message=found)
    if row.read_at is None:
        row.read_at = now
        row.save(update_fields=["read_at"])
