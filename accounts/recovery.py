"""Recovery codes: 16 characters of Crockford base32 (80 bits), the first two of them clear for look-up.

Hashing is slow on purpose, so it never runs inside a transaction: make and match here, burn in accounts.login.
"""

import secrets
from datetime import datetime

from django.contrib.auth.hashers import check_password, make_password

from accounts.models import RecoveryCode, RecoveryDevice, User
from accounts.passwords import decoy

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
COUNT = 10
LENGTH = 16
PREFIX = 2  # 10 bits clear, 70 secret (NIST SP 800-63B-4 section 3.1.2 asks for 64)
_LENIENT = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def normalise(text: str) -> str:
    """What a person typed, without hyphens and spaces, look-alikes mapped."""
    return text.strip().upper().translate(_LENIENT)[:64]


def shown(code: str) -> str:
    """Four groups of four."""
    return "-".join(code[start : start + 4] for start in range(0, LENGTH, 4))


def new_codes() -> list[str]:
    """Ten codes with different first two characters."""
    codes: dict[str, str] = {}
    while len(codes) < COUNT:
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        codes.setdefault(code[:PREFIX], code)
    return list(codes.values())


def hashes(codes: list[str]) -> list[tuple[str, str]]:
    """(prefix, hash) of each code: about a tenth of a second each."""
    return [(code[:PREFIX], make_password(code)) for code in codes]


def store(user: User, hashed: list[tuple[str, str]]) -> RecoveryDevice:
    """Replace the person's sheet, inside the caller's transaction."""
    RecoveryDevice.objects.filter(user=user).delete()
    device: RecoveryDevice = RecoveryDevice.objects.create(user=user, name="paper")
    RecoveryCode.objects.bulk_create(RecoveryCode(device=device, prefix=prefix, hash=value) for prefix, value in hashed)
    return device


def match(user: User, typed: str) -> RecoveryCode | None:
    """The unused code that `typed` is. One hash, whatever the answer."""
    code = normalise(typed)
    unused = RecoveryCode.objects.filter(device__user=user, device__confirmed=True, used_at__isnull=True)
    found = unused.select_related("device").filter(prefix=code[:PREFIX]).first()
    right = check_password(code, found.hash if found else decoy())
    return found if right and found else None


def burn(code: RecoveryCode, *, now: datetime) -> bool:
    """Use the code up, inside the caller's transaction; False if another try was faster."""
    return RecoveryCode.objects.filter(pk=code.pk, used_at__isnull=True).update(used_at=now) == 1


def left(user: User) -> int:
    return RecoveryCode.objects.filter(device__user=user, used_at__isnull=True).count()
