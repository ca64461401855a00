"""The queue: one row per recipient of one message, and every try at it."""

from django.db import models
from django.db.models import Q

from spool.enums import UNFINISHED, DeliveryState, Direction, Outcome, Phase
from spool.ids import encode, new_id
from spool.models.domain import Route
from spool.models.mailbox import Mailbox
from spool.models.message import Message
from spool.models.outage import Outage


class Delivery(models.Model):
    """One recipient of one message. States and their changes: spool.queue; nothing a reader does touches it."""

    id = models.BigIntegerField(primary_key=True, default=new_id, editable=False)
    # Found by the unique constraint over message and forward-path.
    message = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    forward_path = models.CharField(max_length=320)
    direction = models.CharField(max_length=16, choices=Direction, default=Direction.INBOUND)
    # Inbound: whose inbox shows it (null: accepted for an address nobody here has). Outbound: null.
    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, null=True, related_name="deliveries")
    # The address nobody knows waits in review (never bounces to outside).
    unknown_recipient = models.BooleanField(default=False)
    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="deliveries")
    # The outage it waited through first, so that every outage's account is its own; null: never waited in one.
    outage = models.ForeignKey(Outage, on_delete=models.SET_NULL, null=True, related_name="deliveries")
    state = models.CharField(max_length=16, choices=DeliveryState, default=DeliveryState.QUEUED)
    created_at = models.DateTimeField()
    visible_at = models.DateTimeField(null=True)  # null: hidden from every list
    next_attempt_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    # How many of the warnings before expiry were given, and when the latest was (spool.queue.expiry).
    warned = models.PositiveSmallIntegerField(default=0, db_default=0)
    warned_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    lease_token = models.BigIntegerField(default=0)  # fencing: a late holder's write matches no row
    held = models.BooleanField(default=False)  # by a named person
    finished_at = models.DateTimeField(null=True)
    last_code = models.PositiveSmallIntegerField(null=True)
    last_reply = models.CharField(max_length=512, blank=True)  # the server's own words, control characters escaped
    reason = models.CharField(max_length=255, blank=True)  # of a person who bounced, removed, redelivered or holds it

    class Meta:
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(
                fields=["mailbox", "-visible_at", "-id"],
                condition=Q(state__in=UNFINISHED, visible_at__isnull=False),
                name="delivery_inbox",
            ),
            models.Index(
                fields=["route", "next_attempt_at", "id"],
                condition=Q(state=DeliveryState.QUEUED),
                name="delivery_due",
            ),
            models.Index(fields=["lease_until"], condition=Q(state=DeliveryState.LEASED), name="delivery_leased"),
            models.Index(
                fields=["visible_at", "created_at"], condition=Q(visible_at__isnull=True), name="delivery_hidden"
            ),
            models.Index(fields=["state", "finished_at"], name="delivery_finished"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=DeliveryState.values), name="delivery_state_known"),
            models.CheckConstraint(condition=Q(direction__in=Direction.values), name="delivery_direction_known"),
            models.CheckConstraint(
                condition=Q(state__in=UNFINISHED, finished_at__isnull=True)
                | (~Q(state__in=UNFINISHED) & Q(finished_at__isnull=False)),
                name="delivery_finished_at_when_finished",
            ),
            models.CheckConstraint(
                condition=~Q(state=DeliveryState.LEASED) | Q(lease_until__isnull=False), name="delivery_lease_ends"
            ),
            models.UniqueConstraint(fields=["message", "forward_path"], name="delivery_recipient_once"),
        ]

    def __str__(self) -> str:
        return encode(self.pk)

    @property
    def public_id(self) -> str:
        return encode(self.pk)


class MergedAcceptance(models.Model):
    """A sender's retry of mail that was already accepted: a second 250 for the same delivery."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="merged")
    accepted_at = models.DateTimeField()
    peer = models.GenericIPAddressField(null=True)


class Attempt(models.Model):
    """One try at a delivery, committed before dialling (rule 5); no `finished_at`: still running, or cut."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    host = models.CharField(max_length=262, blank=True)  # host:port dialled
    phase = models.CharField(max_length=16, choices=Phase, default=Phase.CONNECT)
    outcome = models.CharField(max_length=16, choices=Outcome, blank=True)
    code = models.PositiveSmallIntegerField(null=True)  # RFC 5321 section 4.2
    enhanced = models.CharField(max_length=16, blank=True)  # RFC 3463
    text = models.CharField(max_length=512, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="attempt_number")]
        indexes = [models.Index(fields=["started_at"], condition=Q(finished_at__isnull=True), name="attempt_open")]
