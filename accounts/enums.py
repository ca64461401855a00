"""Roles. Global: one installation serves one organisation."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    EMPLOYEE = "employee", _("Employee")
    SECURITY = "security", _("Security")
    ADMIN = "admin", _("Admin")
