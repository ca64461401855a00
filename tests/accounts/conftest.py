"""Quick hashes, so that hundreds of log-ins cost seconds; test_passwords.py holds the product's own cost."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from accounts import passwords
from tests.factories import accounts as factory


@pytest.fixture(autouse=True)
def quick_hashes(settings: Settings) -> Iterator[None]:
    def forget() -> None:
        passwords.decoy.cache_clear()
        factory.password_hash.cache_clear()

    settings.PASSWORD_HASHERS = ["tests.accounts.hashing.QuickArgon2"]
    forget()
    yield
    forget()
