"""Secrets that tests use or make, and a look at every log line for them (C48): no password, seed, code, link,
session key, secret key, subject or body may be in a log, of this process or of one that a test starts.

The makers of secrets are observed, never replaced. Lines are looked at in the form the product would write them.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from einbox.logging import JsonFormatter

SHORTEST = 8  # characters; shorter words turn up by chance


class Watcher(logging.Handler):
    """`secrets` by value, with what each is; `leaks` name the kind and the logger, never the secret."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: dict[str, str] = {}
        self.leaks: list[str] = []
        self.setFormatter(JsonFormatter())

    def plant(self, kind: str, *values: str) -> None:
        self.secrets |= {value: kind for value in values if len(value) >= SHORTEST}

    def emit(self, record: logging.LogRecord) -> None:
        self.look(self.format(record), f"logger {record.name}")

    def look(self, text: str, where: str) -> None:
        for secret, kind in list(self.secrets.items()):
            if secret in text:
                self.leaks.append(f"{kind} in {where}")

    def told(self) -> list[str]:
        leaks, self.leaks = self.leaks, []
        return sorted(set(leaks))


watcher = Watcher()


def plant_constants() -> None:
    """What the factories and the settings of the suite use throughout."""
    from django.conf import settings

    from tests.factories.accounts import PASSWORD

    watcher.plant("a password", PASSWORD, "secret password typed here", "s3cretword")
    watcher.plant("the secret key", settings.SECRET_KEY)
    watcher.plant("a field key", "YSBmaWVsZCBrZXkgZm9yIHRoZSB0ZXN0cywgMzIgb2M=", "a field key for the tests, 32 oc")
    watcher.plant("a subject", "Quarterly figures", "secret subject", "Order <b>7719</b>")
    watcher.plant("a body", "The figures are attached", "xk4canaryword", "confidential words", "confidential file")
    watcher.plant("the database's password", settings.DATABASES["default"].get("PASSWORD", ""))


def observe_makers(patch: pytest.MonkeyPatch) -> None:
    """Plant each seed, recovery code, invite token and session key that the product makes from now on."""
    from django.contrib.sessions.backends.base import SessionBase

    from accounts import provision, recovery

    _observe(patch, provision, "new_seed", "a TOTP seed", lambda seed: (provision.base32(seed), seed.hex()))
    _observe(patch, provision, "invite", "an invite token", lambda link: (link.rstrip("/").rpartition("/")[2],))
    _observe(patch, recovery, "new_codes", "a recovery code", lambda codes: [*codes, *map(recovery.shown, codes)])
    _observe(patch, SessionBase, "_get_new_session_key", "a session key", lambda key: (key,))


def _observe(
    patch: pytest.MonkeyPatch, owner: Any, name: str, kind: str, values: Callable[[Any], Iterable[str]]
) -> None:
    make = getattr(owner, name)

    def observed(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        watcher.plant(kind, *values(made))
        return made

    patch.setattr(owner, name, observed)
