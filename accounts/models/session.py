"""Registry of log-in sessions: what a person or an admin can see and end."""

from django.conf import settings
from django.db import models
from django.db.models import Q


class UserSession(models.Model):
    """One verified log-in. The key itself is in the browser and in Django's session table only."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="log_ins")
    key_hash = models.CharField(max_length=64, unique=True)  # SHA-256, hex
    factor = models.CharField(max_length=16)  # "totp" or "recovery"
    network = models.CharField(max_length=64, blank=True)  # CIDR
    user_agent = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    seen_at = models.DateTimeField()  # at most a minute old
    expires_at = models.DateTimeField()  # absolute, whatever the person does
    ended_at = models.DateTimeField(null=True)
    end_cause = models.CharField(max_length=32, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["user"], condition=Q(ended_at__isnull=True), name="session_live"),
            models.Index(fields=["user", "network"], name="session_network"),
        ]
