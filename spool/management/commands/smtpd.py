"""`manage.py smtpd`: one process for sessions, and its writer; several such pairs may share the port."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from spool.smtpd.process import StartError, run
from spool.smtpd.writer import WriterLostError


class Command(BaseCommand):
    help = "Take mail by SMTP."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run(settings.SMTP.host, settings.SMTP.port)
        except (StartError, WriterLostError) as error:
            raise CommandError(str(error)) from error
