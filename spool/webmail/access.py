"""The only way a view gets a mailbox, a delivery, a message or an attachment.

One query set gate per model. What is not his own a person does not get to know of: 404, never 403 (row C42).
Roles open nothing here: admins and security read no bodies. Reading is recorded in the transaction that
reads, before the body leaves (rule 10).
"""

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404

from accounts.models import User
from spool.enums import DeliveryState, Direction, MailboxKind
from spool.ids import decode
from spool.models import Delivery, Mailbox, MailboxMember, Message


def mailboxes(user: User) -> QuerySet[Mailbox]:
    """His personal mailboxes and the shared ones he is a member of."""
    membership = MailboxMember.objects.filter(mailbox=OuterRef("pk"), user=user)
    return Mailbox.objects.filter(
        Q(kind=MailboxKind.PERSONAL, user=user) | Q(Exists(membership), kind=MailboxKind.SHARED), is_active=True
    )


def deliveries(user: User) -> QuerySet[Delivery]:
    """What arrived for his mailboxes and was shown, finished or not; never what security withdrew."""
    return Delivery.objects.filter(
        direction=Direction.INBOUND, mailbox__in=mailboxes(user), visible_at__isnull=False
    ).exclude(state=DeliveryState.REMOVED)


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
