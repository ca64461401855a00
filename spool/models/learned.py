"""Addresses that a primary accepted mail for although nobody here has them."""

from django.db import models

from spool.models.domain import Domain


class LearnedAddress(models.Model):
    """An address of a protected domain whose primary said 250 for it. Rules: spool.queue.learned."""

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="learned")
    address = models.CharField(max_length=320, unique=True)  # normalised by spool.queue.addresses
    learned_at = models.DateTimeField()
    confirmed_at = models.DateTimeField()  # the primary's latest 250 that was noted, to the hour

    class Meta:
        verbose_name_plural = "learned addresses"
        indexes = [models.Index(fields=["domain", "confirmed_at", "id"], name="learned_oldest")]

    def __str__(self) -> str:
        return self.address
