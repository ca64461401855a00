"""App config of the composition root: templates and static files that every room shares."""

from django.apps import AppConfig


class EinboxConfig(AppConfig):
    name = "einbox"
    verbose_name = "einbox"
