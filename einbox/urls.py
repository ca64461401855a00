"""Mounts the rooms' URLs. Every URL is denied by default; accounts.middleware lists the exceptions."""

from django.conf import settings
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
if settings.DEMO:  # a real installation imports nothing of the simulation
    from einbox.simulation import views as simulation

    urlpatterns.append(path("demo/primary", simulation.primary, name="demo-primary"))
handler500 = "einbox.errors.failed"
