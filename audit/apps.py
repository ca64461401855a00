"""App config of the audit log, the ground floor."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate

from audit import guards


class AuditConfig(AppConfig):
    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(keep_guards, sender=self)


def keep_guards(*, using: str, plan: list[Any] | None = None, **kwargs: Any) -> None:
    """Put the triggers back after migrations: Django rebuilds a SQLite table it alters, which drops them."""
    connection = connections[using]
    if plan and guards.TABLE in connection.introspection.table_names():
        guards.install(connection)
