"""Episodes of failed routes and the evidence for every change of state."""

from django.db import models
from django.db.models import Q

from spool.enums import OutageKind, Phase, RouteState
from spool.models.domain import Route


class Outage(models.Model):
    """An episode of one route, from the first failed probe or a person's word until the spool is empty."""

    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="outages")
    kind = models.CharField(max_length=16, choices=OutageKind, default=OutageKind.DETECTED)
    opened_at = models.DateTimeField()
    down_at = models.DateTimeField(null=True)
    recovering_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    # Declared and planned outages end by a person or at this time, never by a good probe alone.
    until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=255, blank=True)
    announcement = models.CharField(max_length=500, blank=True)
    announced_at = models.DateTimeField(null=True)
    announced_by = models.CharField(max_length=255, blank=True)
    report = models.JSONField(null=True)  # counts at the close, see spool.queue.queries.account

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["route"], condition=Q(closed_at__isnull=True), name="outage_one_open_per_route"
            ),
            models.CheckConstraint(condition=Q(kind__in=OutageKind.values), name="outage_kind_known"),
        ]


class PlannedOutage(models.Model):
    """An outage that a person announced for later; it becomes an Outage row when its time comes."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="planned")
    starts_at = models.DateTimeField()
    until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=255)
    planned_by = models.CharField(max_length=255)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gt=models.F("starts_at")), name="planned_outage_ends_later"
            ),
        ]


class RouteChange(models.Model):
    """One change of a route's state, with the sentence that explains it."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="changes")
    outage = models.ForeignKey(Outage, on_delete=models.SET_NULL, null=True, related_name="changes")
    at = models.DateTimeField()
    old = models.CharField(max_length=16, choices=RouteState)
    new = models.CharField(max_length=16, choices=RouteState)
    evidence = models.CharField(max_length=500)

    class Meta:
        indexes = [models.Index(fields=["route", "-at"], name="route_change_latest")]


class Probe(models.Model):
    """One look at one host of a primary; older rows are pruned."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="probes")
    at = models.DateTimeField()
    host = models.CharField(max_length=262)
    ok = models.BooleanField()
    phase = models.CharField(max_length=16, choices=Phase)
    code = models.PositiveSmallIntegerField(null=True)
    text = models.CharField(max_length=512, blank=True)
    milliseconds = models.PositiveIntegerField()

    class Meta:
        indexes = [models.Index(fields=["route", "-at"], name="probe_latest")]
