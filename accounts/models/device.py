"""Second factors of a person: TOTP (RFC 6238) and recovery codes. Rows only; the flows are in accounts.login.

A seed is stored sealed (accounts.crypto), a recovery code as an Argon2 hash.
"""

import hmac
import secrets
from datetime import datetime

from django.db import models
from django.db.models import Q
from django_otp.models import Device
from django_otp.oath import hotp

from accounts import crypto

STEP = 30  # seconds
DIGITS = 6
DRIFT = 1  # steps a phone's clock may be off, either way
SEED_OCTETS = 20  # RFC 4226 section 4, R6
# NIST SP 800-63B-4 section 3.2.2: no more wrong codes in a row than this, ever. Reached only with the right password.
MAX_FAILURES_IN_A_ROW = 100


def new_device_id() -> int:
    """Made before insert, because the seed is sealed for its own row."""
    return secrets.randbits(62)


class TOTPDevice(Device):  # type: ignore[misc]  # django-otp has no types
    """An authenticator app. A step is accepted once, and only after every step accepted before."""

    id = models.BigIntegerField(primary_key=True, default=new_device_id, editable=False)
    sealed_seed = models.BinaryField()  # context "totp:<id>"
    last_step = models.BigIntegerField(default=-1)
    failures = models.PositiveIntegerField(default=0)  # in a row
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"TOTP {self.pk}"

    @property
    def seed(self) -> bytes:
        """Raises accounts.crypto.DecryptionError."""
        return crypto.unseal(bytes(self.sealed_seed), f"totp:{self.pk}")

    @seed.setter
    def seed(self, value: bytes) -> None:
        self.sealed_seed = crypto.seal(value, f"totp:{self.pk}")

    def accept(self, code: str, *, now: datetime) -> bool:
        """Whether `code` is right at `now` and unused; it is then used up.

        The conditional update is the lock: of any number of parallel callers one sees a row change.
        """
        step = matching_step(self.seed, code, now=now)
        fresh = TOTPDevice.objects.filter(pk=self.pk, failures__lt=MAX_FAILURES_IN_A_ROW)
        if step is not None and fresh.filter(last_step__lt=step).update(last_step=step, failures=0):
            return True
        fresh.update(failures=models.F("failures") + 1)
        return False

    def verify_token(self, token: str) -> bool:
        """django-otp's entry, closed: codes are checked by accounts.login, behind its throttle."""
        return False


def matching_step(seed: bytes, code: str, *, now: datetime) -> int | None:
    """The time step (RFC 6238) within the drift whose code is `code`, or None."""
    current = int(now.timestamp()) // STEP
    found = None
    for step in range(current - DRIFT, current + DRIFT + 1):
        if hmac.compare_digest(f"{hotp(seed, step, DIGITS):0{DIGITS}d}".encode(), code.encode()):
            found = step
    return found


class RecoveryDevice(Device):  # type: ignore[misc]
    """A sheet of one-time codes on paper."""

    id = models.BigIntegerField(primary_key=True, default=new_device_id, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"recovery {self.pk}"

    def verify_token(self, token: str) -> bool:
        """django-otp's entry, closed: codes are checked by accounts.login, behind its throttle."""
        return False


class RecoveryCode(models.Model):
    """One code: two clear characters to find it (so that a try costs one hash), the hash of all of it."""

    device = models.ForeignKey(RecoveryDevice, on_delete=models.CASCADE, related_name="codes")
    prefix = models.CharField(max_length=2)
    hash = models.CharField(max_length=128)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["device", "prefix"], name="recovery_code_prefix")]
        indexes = [models.Index(fields=["device"], condition=Q(used_at__isnull=True), name="recovery_code_left")]
