"""Argon2 at a fraction of its cost, which counts its work."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class QuickArgon2(Argon2PasswordHasher):
    time_cost, memory_cost, parallelism = 1, 64, 1
    made = verified = 0

    def encode(self, password: str, salt: str) -> str:
        QuickArgon2.made += 1
        return str(super().encode(password, salt))

    def verify(self, password: str, encoded: str) -> bool:
        QuickArgon2.verified += 1
        return bool(super().verify(password, encoded))
