"""Counters of tries, in the database: they hold with several processes and without Redis."""

from django.db import models


class Throttle(models.Model):
    """Tries of one subject under one limit. `key` holds keyed hashes only, never what was typed."""

    key = models.CharField(max_length=120, primary_key=True)
    slices = models.JSONField(default=dict)  # slice number -> tries (accounts.limits)
    last_at = models.FloatField(default=0)  # Unix time of the last try
    told_at = models.FloatField(default=0)  # Unix time of the last event about a refusal
    updated_at = models.DateTimeField(db_index=True)
