"""URLs of writing: compose, reply, forward, drafts, outbox, marks."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
