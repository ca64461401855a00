"""What a user is writing. Text and files are encrypted under a field key (accounts.crypto.seal)."""

from django.conf import settings
from django.db import models

from spool.ids import encode, new_id
from spool.models.mailbox import Mailbox
from spool.models.message import Message


class Draft(models.Model):
    id = models.BigIntegerField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="drafts")
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="+")
    in_reply_to = models.ForeignKey(Message, on_delete=models.SET_NULL, null=True, related_name="+")
    sealed = models.BinaryField()  # JSON: to, cc, bcc, subject, body; context "draft:<id>"
    updated_at = models.DateTimeField()

    @property
    def public_id(self) -> str:
        return encode(self.pk)


class DraftAttachment(models.Model):
    id = models.BigIntegerField(primary_key=True, default=new_id, editable=False)
    draft = models.ForeignKey(Draft, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    sealed = models.BinaryField()  # context "draft-attachment:<id>"
