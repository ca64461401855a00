"""One form of a password, and one amount of work for every check of one."""

import secrets
import unicodedata
from functools import lru_cache

from django.contrib.auth.hashers import check_password, make_password

MAX_LENGTH = 1000  # characters; longer ones are refused unhashed


def normalise(password: str) -> str:
    """NFKC (NIST SP 800-63B-4 section 3.1.1.2), so that the same keys typed elsewhere are the same password."""
    return unicodedata.normalize("NFKC", password)


@lru_cache(maxsize=1)
def decoy() -> str:
    """A hash that nothing matches, for equal work when the account does not exist."""
    return make_password(secrets.token_urlsafe(32))


def matches(password: str, encoded: str | None) -> bool:
    """One hash of the configured cost whatever `encoded` is: slow, so call it outside transactions."""
    usable = encoded if encoded and not encoded.startswith("!") else decoy()
    right = check_password(normalise(password), usable)
    return right and usable is encoded
