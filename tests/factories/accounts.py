"""People for tests, and a client that is logged in. Quick: one password hash for all of them."""

from datetime import datetime
from functools import lru_cache
from importlib import import_module
from itertools import count
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP

from accounts import provision, sessions
from accounts.enums import Role
from accounts.models import TOTPDevice, User
from accounts.network import Client as Browser

PASSWORD = "four quiet otters sail"
HERE = Browser("127.0.0.1/32", "tests")
_numbers = count(1)


@lru_cache(maxsize=1)
def password_hash() -> str:
    return make_password(PASSWORD)


def make_user(*, email: str = "", role: Role = Role.EMPLOYEE, factor: bool = True, **fields: Any) -> User:
    """A person with PASSWORD and, unless `factor` is False, an authenticator app."""
    user = User(email=email or f"person{next(_numbers)}@example.org", role=role, **fields)
    user.password = password_hash()
    user.save()
    if factor:
        provision.enrol_totp(user)
    return user


def code_for(user: User, *, now: datetime | None = None) -> str:
    """What the person's app shows at `now`."""
    generator = TOTP(TOTPDevice.objects.get(user=user).seed)
    generator.time = (now or timezone.now()).timestamp()
    return f"{generator.token():06d}"


def log_in(client: Client, user: User) -> Client:
    """Give `client` a fully verified session of `user`, without hashing and without using up a code."""
    request = HttpRequest()
    request.user = user
    request.session = import_module(settings.SESSION_ENGINE).SessionStore()
    device = TOTPDevice.objects.get(user=user)
    sessions.open_session(request, user, device, factor="totp", client=HERE, now=timezone.now())
    request.session.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = str(request.session.session_key)
    return client
