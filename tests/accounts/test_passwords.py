"""The cost of a password, and the same work for everybody who is refused."""

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, get_hashers_by_algorithm
from django.test import Client
from pytest_django.fixtures import Settings

import einbox.settings
from accounts import recovery
from tests.accounts.hashing import QuickArgon2
from tests.accounts.pages import LOGIN, RECOVERY, enter_password, post
from tests.factories.accounts import make_user


@pytest.mark.pure
def test_the_product_hashes_with_argon2_at_no_less_than_djangos_cost(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = einbox.settings.PASSWORD_HASHERS
    hashers = get_hashers_by_algorithm()
    assert list(hashers) == ["argon2"]
    hasher = hashers["argon2"]
    assert type(hasher) is Argon2PasswordHasher
    assert (hasher.time_cost, hasher.memory_cost, hasher.parallelism) >= (2, 102_400, 8)


def work() -> tuple[int, int]:
    return QuickArgon2.made, QuickArgon2.verified


@pytest.mark.django_db
@pytest.mark.parametrize(
    "email", ["known@example.org", "nobody@example.org", "bare@example.org", "gone@example.org", "unset@example.org"]
)
def test_every_refused_password_costs_one_hash(client: Client, email: str) -> None:
    make_user(email="known@example.org")
    make_user(email="bare@example.org", factor=False)
    make_user(email="gone@example.org", is_active=False)
    unset = make_user(email="unset@example.org")
    unset.set_unusable_password()
    unset.save()
    client.get(LOGIN)
    made, verified = work()
    assert enter_password(client, email, "not the right password").status_code == 200
    assert work() == (made, verified + 1)


@pytest.mark.django_db
@pytest.mark.parametrize("typed", ["right prefix", "wrong prefix", "", "x"])
def test_every_refused_recovery_code_costs_one_hash(client: Client, typed: str) -> None:
    user = make_user()
    codes = recovery.new_codes()
    recovery.store(user, recovery.hashes(codes))
    free = next(
        a + b for a in recovery.ALPHABET for b in recovery.ALPHABET if not any(c.startswith(a + b) for c in codes)
    )
    client.get(LOGIN)
    enter_password(client, user.email)
    made, verified = work()
    post(
        client,
        RECOVERY,
        {"code": {"right prefix": codes[0][:2] + "0" * 14, "wrong prefix": free + "0" * 14}.get(typed, typed)},
    )
    assert work() == (made, verified + (1 if typed else 0))
