"""Mounts the rooms' URLs. Every URL is denied by default; accounts.middleware lists the exceptions."""

from django.urls import URLPattern, URLResolver, include, path

from einbox import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("account/", include("accounts.urls")),
    path("audit/", include("audit.urls")),
    path("", include("spool.urls")),
]
