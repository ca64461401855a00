"""App config of mail: domains, routes, the spool and the webmail."""

from django.apps import AppConfig


class SpoolConfig(AppConfig):
    name = "spool"
