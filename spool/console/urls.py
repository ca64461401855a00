"""URLs of the console."""

from django.urls import URLPattern, path

from spool.console import views

urlpatterns: list[URLPattern] = [
    path("console/", views.outages, name="console"),
    path("console/route/<int:route_id>/", views.outages, name="console-route"),
    path("console/route/<int:route_id>/<str:name>", views.act, name="console-act"),
    path("console/queue/", views.listing, name="console-queue"),
]
