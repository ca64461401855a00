"""The person who logs in. Never deleted, only deactivated, so that history keeps its names."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q

from accounts.enums import Role


class UserManager(BaseUserManager["User"]):
    """Creates nobody by itself: accounts.provision is the way to make a user, with its event."""

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser):  # type: ignore[django-manager-missing]  # django-otp has no types
    email = models.EmailField(max_length=320, unique=True)  # lower case
    name = models.CharField(max_length=200, blank=True)
    role = models.CharField(max_length=16, choices=Role, default=Role.EMPLOYEE)
    is_active = models.BooleanField(default=True)
    is_demo = models.BooleanField(default=False)
    is_drill = models.BooleanField(default=False)
    time_zone = models.CharField(max_length=64, blank=True)  # empty: EINBOX_TIME_ZONE
    date_joined = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(role__in=Role.values), name="user_role_known"),
        ]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.lower()
        super().save(*args, **kwargs)

    @property
    def display_name(self) -> str:
        return self.name or self.email
