"""The keys with which a domain's own mail is signed (RFC 6376)."""

from django.db import models
from django.db.models import Q

from spool.enums import SigningAlgorithm
from spool.ids import new_id
from spool.models.domain import Domain


class DkimKey(models.Model):
    """One key of a domain: made, confirmed once its record is public, retired. Rules: spool.queue.signing."""

    id = models.BigIntegerField(primary_key=True, default=new_id, editable=False)
    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="dkim_keys")
    algorithm = models.CharField(max_length=16, choices=SigningAlgorithm)
    selector = models.CharField(max_length=63)
    public = models.CharField(max_length=512)  # the tag `p` of its DNS record, base64
    sealed = models.BinaryField(null=True)  # private key, PKCS #8; context "dkim:<id>"; null once retired
    made_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)  # it signs from then on
    retired_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["domain", "selector"], name="dkim_key_selector"),
            models.CheckConstraint(condition=Q(algorithm__in=SigningAlgorithm.values), name="dkim_key_algorithm_known"),
            models.CheckConstraint(
                condition=Q(sealed__isnull=False, retired_at__isnull=True)
                | Q(sealed__isnull=True, retired_at__isnull=False),
                name="dkim_key_erased_when_retired",
            ),
        ]

    def __str__(self) -> str:
        return self.selector
