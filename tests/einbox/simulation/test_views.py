"""The switch of the simulated primary: admins only, by POST, and not mounted without the demo."""

from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.enums import Role
from einbox.simulation import switch
from tests.factories.accounts import log_in, make_user


def test_it_is_not_mounted_without_the_demo() -> None:
    with pytest.raises(NoReverseMatch):
        reverse("demo-primary")


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setattr(settings, "HOME", tmp_path)
    return "tests.einbox.simulation.demo_urls"


@pytest.mark.django_db
def test_an_admin_switches_it_and_nobody_else(urls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ROOT_URLCONF", urls)
    admin, other = (log_in(Client(), make_user(role=role)) for role in (Role.ADMIN, Role.SECURITY))
    assert other.post("/demo/primary", {"on": "0"}).status_code == 403
    assert switch.is_on(settings.HOME)
    assert b"is on." in admin.get("/demo/primary").content
    assert admin.post("/demo/primary", {"on": "0"}).status_code == 302
    assert not switch.is_on(settings.HOME)
    assert b"Switch it on" in admin.get("/demo/primary").content
    admin.post("/demo/primary", {"on": "1"})
    assert switch.is_on(settings.HOME)
