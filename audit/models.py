"""The audit log: append-only events, sealed into a hash chain. Written by audit.record and audit.sealing only."""

from django.db import models

from audit.ids import new_event_id


class Event(models.Model):
    """One fact. Committed with what it records; `seq`, `previous_hash` and `hash` follow at sealing, once."""

    id = models.BigIntegerField(primary_key=True, default=new_event_id, editable=False)
    at = models.DateTimeField()
    tag = models.CharField(max_length=64)
    severity = models.CharField(max_length=16)
    outcome = models.CharField(max_length=16, default="ok")
    # No foreign keys: an event outlives what it names, so labels are copied.
    actor_kind = models.CharField(max_length=16)
    actor_id = models.BigIntegerField(null=True)
    actor_label = models.CharField(max_length=320)
    target_kind = models.CharField(max_length=32, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_label = models.CharField(max_length=320, blank=True)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=255, blank=True)
    request_id = models.CharField(max_length=32, blank=True)
    session = models.CharField(max_length=32, blank=True)
    drill = models.BooleanField(default=False)
    detail = models.JSONField(default=dict)

    seq = models.BigIntegerField(null=True, unique=True)
    previous_hash = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - null until sealed
    hash = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - null until sealed

    class Meta:
        indexes = [
            models.Index(fields=["-at", "-id"], name="event_latest"),
            models.Index(fields=["tag", "-at"], name="event_tag"),
            models.Index(fields=["actor_id", "-at"], name="event_actor"),
            models.Index(fields=["target_kind", "target_id", "-at"], name="event_target"),
            models.Index(fields=["id"], condition=models.Q(seq__isnull=True), name="event_unsealed"),
        ]


class ChainHead(models.Model):
    """One row: where the chain ends and how far it was last checked. A cut-off tail no longer meets it."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64)
    sealed_at = models.DateTimeField(null=True)
    verified_seq = models.BigIntegerField(null=True)
    verified_at = models.DateTimeField(null=True)
    broken_seq = models.BigIntegerField(null=True)  # of the latest check; null: it passed

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="chain_head_single")]


class ChainPatrol(models.Model):
    """One row: how far the check that nobody asked for came (audit.patrol), among new events and in its daily round."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64)
    at = models.DateTimeField(null=True)  # when it had reached the head
    round_seq = models.BigIntegerField(default=0)
    round_hash = models.CharField(max_length=64)
    round_began = models.DateTimeField(null=True)  # null: no round is under way
    round_ended = models.DateTimeField(null=True)
    broken_seq = models.BigIntegerField(null=True)  # told already

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="chain_patrol_single")]
