"""Addresses that may receive: personal and shared mailboxes, aliases, members."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from spool.enums import MailboxKind
from spool.models.domain import Domain


class Mailbox(models.Model):
    """An address of a protected domain. Without a user it is still a valid recipient: its mail waits."""

    address = models.CharField(max_length=320, unique=True)  # normalised by spool.queue.addresses
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, related_name="mailboxes")
    kind = models.CharField(max_length=16, choices=MailboxKind, default=MailboxKind.PERSONAL)
    name = models.CharField(max_length=200, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="mailboxes")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=MailboxKind.values), name="mailbox_kind_known"),
            models.CheckConstraint(
                condition=~Q(kind=MailboxKind.SHARED) | Q(user__isnull=True), name="mailbox_shared_without_user"
            ),
        ]

    def __str__(self) -> str:
        return self.address


class MailboxAlias(models.Model):
    """A further address of a mailbox. An address is a mailbox or an alias, never both (queue.addresses)."""

    address = models.CharField(max_length=320, unique=True)
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="aliases")

    def __str__(self) -> str:
        return self.address


class MailboxMember(models.Model):
    """A user who may read and answer a shared mailbox."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "user"], name="mailbox_member_once")]
