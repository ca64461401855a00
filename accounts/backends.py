"""Django's entry to people. It authenticates nobody: accounts.login is the only way in."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from accounts.models import User

PATH = "accounts.backends.StagedLoginBackend"


class StagedLoginBackend(BaseBackend):
    """Loads the person of a session; an inactive one is nobody."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        return None

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()
