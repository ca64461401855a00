"""What a user does to a message in the emergency inbox; it never touches the delivery (rule 2)."""

from django.conf import settings
from django.db import models

from spool.models.message import Message


class Overlay(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="overlays")
    read_at = models.DateTimeField(null=True)
    starred = models.BooleanField(default=False)
    archived = models.BooleanField(default=False)
    trashed = models.BooleanField(default=False)
    junk = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "message"], name="overlay_once")]
