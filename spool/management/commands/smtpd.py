"""`manage.py smtpd`: one process; several may share the port."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from spool.smtpd.process import StartError, run


class Command(BaseCommand):
    help = "Take mail by SMTP."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run(settings.SMTP.host, settings.SMTP.port)
        except StartError as error:
            raise CommandError(str(error)) from error
