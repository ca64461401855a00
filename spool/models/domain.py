"""Protected domains and the routes to their primaries."""

from django.db import models
from django.db.models import Q

from spool.enums import RecipientPolicy, RouteState, TlsPolicy, WhileUp


class Route(models.Model):
    """How mail reaches a primary, and what einbox knows of its health."""

    name = models.CharField(max_length=255, unique=True)
    tls = models.CharField(max_length=16, choices=TlsPolicy, default=TlsPolicy.OPPORTUNISTIC)
    # Where our users' outbound mail goes; empty: the first host.
    submission_url = models.CharField(max_length=512, blank=True)
    submission_password = models.BinaryField(null=True)  # sealed, context "route-submission:<id>"
    smarthost_url = models.CharField(max_length=512, blank=True)
    smarthost_password = models.BinaryField(null=True)  # sealed, context "route-smarthost:<id>"

    state = models.CharField(max_length=16, choices=RouteState, default=RouteState.UP)
    state_since = models.DateTimeField()
    # The last probe that agreed with `state`; `up` older than 60 s counts as stale: accepting is safe.
    confirmed_at = models.DateTimeField(null=True)
    good_probes = models.PositiveIntegerField(default=0)
    bad_probes = models.PositiveIntegerField(default=0)
    last_probe_at = models.DateTimeField(null=True)  # begun
    next_probe_at = models.DateTimeField(null=True)
    # Set by smtpd when a sender arrives, so that watch probes at once.
    probe_wanted_at = models.DateTimeField(null=True)
    # While set, the drain waits: a named person holds it.
    held = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=RouteState.values), name="route_state_known"),
            models.CheckConstraint(condition=Q(tls__in=TlsPolicy.values), name="route_tls_known"),
        ]

    def __str__(self) -> str:
        return self.name


class RouteHost(models.Model):
    """One host of a primary, tried in order of `position`."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="hosts")
    position = models.PositiveSmallIntegerField()
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=25)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["route", "position"], name="route_host_position"),
            models.CheckConstraint(condition=Q(port__gte=1, port__lte=65535), name="route_host_port"),
        ]

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ProtectedDomains(models.Manager["Domain"]):
    """Without domains that were removed: who needs their rows asks for `Domain.everything`."""

    def get_queryset(self) -> "models.QuerySet[Domain]":
        return super().get_queryset().filter(removed_at__isnull=True)


class Domain(models.Model):
    """A mail domain einbox protects; `name` is lower-case A-labels (RFC 5890).

    One that was removed (spool.queue.removal) keeps its row, for its mailboxes, mail and outages are named by it.
    Look-ups through relations (`domains__name`) see removed ones too.
    """

    name = models.CharField(max_length=253, unique=True)
    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="domains")
    recipient_policy = models.CharField(max_length=16, choices=RecipientPolicy, default=RecipientPolicy.REJECT)
    dropbox = models.ForeignKey("spool.Mailbox", on_delete=models.PROTECT, null=True, related_name="+")
    while_up = models.CharField(max_length=16, choices=WhileUp, default=WhileUp.DEFER)
    is_drill = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)  # no longer protected since

    objects = ProtectedDomains()
    everything: "models.Manager[Domain]" = models.Manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(recipient_policy__in=RecipientPolicy.values), name="domain_recipient_policy_known"
            ),
            models.CheckConstraint(condition=Q(while_up__in=WhileUp.values), name="domain_while_up_known"),
            models.CheckConstraint(
                condition=~Q(recipient_policy=RecipientPolicy.DROPBOX) | Q(dropbox__isnull=False),
                name="domain_dropbox_named",
            ),
        ]

    def __str__(self) -> str:
        return self.name
