"""Liveness of processes, the leases that let one of many act, and counts for /metrics."""

from django.db import models


class Heartbeat(models.Model):
    """The last sign of life of one process; `name` is service:host:pid."""

    name = models.CharField(max_length=255, primary_key=True)
    service = models.CharField(max_length=32, db_index=True)
    at = models.DateTimeField()


class Lease(models.Model):
    """A named right to act until `until`; `token` grows with every new holder and fences late ones."""

    name = models.CharField(max_length=100, primary_key=True)
    holder = models.CharField(max_length=255)
    until = models.DateTimeField()
    token = models.BigIntegerField(default=0)


class Counter(models.Model):
    """A count that only grows, summed over processes; `name` is "smtpd.accepted", "smtpd.refused.unknown", …"""

    name = models.CharField(max_length=100, primary_key=True)
    value = models.BigIntegerField(default=0)
