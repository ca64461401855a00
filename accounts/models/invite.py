"""One-time links by which a person chooses a password and enrols a factor."""

from django.conf import settings
from django.db import models


class Invite(models.Model):
    """Only the SHA-256 of the token is stored. One use, 72 hours, revoked by a newer one."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="invites")
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
