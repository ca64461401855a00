"""App config of the composition root: templates and static files that every room shares."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from einbox.database import insist_on_durable_commits


class EinboxConfig(AppConfig):
    name = "einbox"
    verbose_name = "einbox"

    def ready(self) -> None:
        connection_created.connect(insist_on_durable_commits, dispatch_uid="durable commits")
