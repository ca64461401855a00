"""App config of people, factors and sessions."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
