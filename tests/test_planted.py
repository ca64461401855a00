"""The look at log lines itself: it sees what it should, in every way a secret gets into a line."""

import logging
from collections.abc import Callable

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone

from accounts import provision, recovery
from tests.factories.accounts import PASSWORD, make_user
from tests.planted import SHORTEST, watcher

log = logging.getLogger("tests.planted")


def with_exception() -> None:
    try:
        raise ValueError(PASSWORD)
    except ValueError:
        log.exception("it failed")


@pytest.mark.pure
@pytest.mark.parametrize(
    "leak",
    [
        lambda: log.warning("typed: %s", PASSWORD),
        lambda: log.warning("more", extra={"subject": "Re: Quarterly figures"}),
        with_exception,
    ],
    ids=["message", "extra", "exception"],
)
def test_a_secret_in_a_line_is_seen_and_not_repeated(leak: Callable[[], None]) -> None:
    leak()
    [told] = watcher.told()
    assert "logger tests.planted" in told
    assert PASSWORD not in told
    assert watcher.told() == []


@pytest.mark.pure
def test_a_secret_in_the_output_of_a_process_is_seen() -> None:
    watcher.look(f"Traceback\n  {PASSWORD!r}\n", "the output of an installation")
    assert watcher.told() == ["a password in the output of an installation"]


@pytest.mark.django_db
def test_what_the_product_makes_is_planted() -> None:
    make_user()
    codes = recovery.new_codes()
    provision.invite(make_user(factor=False), now=timezone.now())
    SessionStore().create()
    kinds = list(watcher.secrets.values())
    assert {"a TOTP seed", "an invite token", "a session key", "a field key", "a body"} <= set(kinds)
    assert all(watcher.secrets[code] == "a recovery code" for code in codes)
    assert len(kinds) >= 30
    assert min(map(len, watcher.secrets)) >= SHORTEST
