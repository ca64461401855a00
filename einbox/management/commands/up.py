"""`manage.py up`: everything as one process tree, from an empty directory if need be."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections
from django.utils import timezone

from einbox import first_start, process_tree
from einbox.simulation import guide, organisation
from einbox.supervisor import Supervisor
from einbox.webserver import answers

PRIMARY_REMEDY = (
    "set EINBOX_SMTP to a host:port whose next port is free, too: the demo's simulated primary listens one above it."
)


class Command(BaseCommand):
    help = "Start web, smtpd, worker (with beat) and watch as one process tree."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)
        first_start.prepare_home(settings.HOME)
        with first_start.only_one(settings.HOME, "up"):
            first_start.check_certificates("web", "smtpd")
            first_start.check_port(settings.WEB, "EINBOX_WEB")
            first_start.check_port(settings.SMTP, "EINBOX_SMTP")
            first_start.migrate()
            first_start.refuse_other_keys()
            first_start.collect_static()
            organisation.refuse_exposure()
            if settings.DEMO:
                organisation.ensure(now=timezone.now())
            demo = organisation.exists()
            connections.close_all()
            if demo:
                first_start.check_port(organisation.primary_address(), "EINBOX_SMTP", PRIMARY_REMEDY)
            process_tree.load()
            Supervisor(
                process_tree.services(demo=demo),
                settings.HOME / "processes.json",
                until_ready=lambda: self._greet(demo=demo),
            ).run()
            self.stdout.write("einbox has stopped.")

    def _greet(self, *, demo: bool) -> bool:
        """Say where it is once the pages answer; whether that was so."""
        if answers(settings.WEB, tls=bool(settings.TLS_CERT), host=settings.PUBLIC_HOST) is None:
            return False
        if demo:
            self.stdout.write(guide.text())
        self.stdout.write(f"einbox: {settings.PUBLIC_URL} (mail: {settings.SMTP}). Ctrl-C stops it.")
        self.stdout.flush()
        return True
