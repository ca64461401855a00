"""Sessions end: by log-out, by idling, by age, by an admin; at once and on the server."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
import time_machine
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts import housekeeping, provision, sessions
from accounts.middleware import BACKGROUND
from accounts.models import User, UserSession
from audit.models import Event
from audit.tags import Tag
from tests.accounts.pages import LOGOUT, is_in
from tests.factories.accounts import log_in, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(1_780_000_020, tick=False) as traveller:
        yield traveller


def ends() -> list[str]:
    return [event.detail["cause"] for event in Event.objects.filter(tag=Tag.LOGOUT.value).order_by("at", "id")]


def test_log_out_ends_the_session_on_the_server(client: Client) -> None:
    log_in(client, make_user())
    thief = Client()
    thief.cookies = deepcopy(client.cookies)
    assert client.get(LOGOUT).status_code == 405
    assert client.post(LOGOUT)["Location"] == "/account/logged-out/"
    assert not is_in(thief)
    assert Session.objects.count() == 0
    assert ends() == ["log-out"]


def test_log_out_ends_only_this_session(client: Client) -> None:
    user = make_user()
    other = log_in(Client(), user)
    log_in(client, user).post(LOGOUT)
    assert is_in(other)


def test_an_idle_session_ends(client: Client, clock: time_machine.Traveller) -> None:
    log_in(client, make_user())
    for _ in range(3):
        clock.shift(settings.SESSION_IDLE - 1)
        assert is_in(client)
    clock.shift(settings.SESSION_IDLE)
    assert not is_in(client)
    assert not is_in(client)
    assert ends() == ["idle"]


def test_an_open_tab_does_not_keep_a_session_alive(client: Client, clock: time_machine.Traveller) -> None:
    log_in(client, make_user())
    for _ in range(10):
        clock.shift(settings.SESSION_IDLE / 9)
        client.get("/no-such-page/", headers={BACKGROUND: "1"})
    assert not is_in(client)


def test_a_session_has_an_absolute_end(client: Client, clock: time_machine.Traveller) -> None:
    log_in(client, make_user())
    for _ in range(settings.SESSION_ABSOLUTE // 1200 - 1):
        clock.shift(1200)
        assert is_in(client)
    clock.shift(1200)
    assert not is_in(client)


def test_sessions_left_open_are_closed_and_recorded(client: Client, clock: time_machine.Traveller) -> None:
    log_in(client, make_user())
    clock.shift(settings.SESSION_ABSOLUTE)
    log_in(Client(), make_user())
    assert housekeeping.sweep(now=timezone.now()) == 1
    assert ends() == ["absolute"]
    assert Session.objects.count() == 1


@pytest.mark.parametrize("act", ["deactivate", "reset", "end all", "password"])
def test_sessions_end_at_once(client: Client, act: str) -> None:
    user = make_user()
    log_in(client, user)
    other = log_in(Client(), user)
    if act == "deactivate":
        provision.deactivate(user, reason="left")
    elif act == "reset":
        provision.reset_mfa(user, reason="lost phone")
    elif act == "end all":
        sessions.end(user, cause="asked", now=timezone.now())
    else:
        User.objects.filter(pk=user.pk).update(password=provision.hash_password("a quite new password", user))
    assert not is_in(client)
    assert not is_in(other)


def test_a_session_without_its_registry_row_counts_for_nothing(client: Client) -> None:
    log_in(client, make_user())
    UserSession.objects.all().delete()
    assert not is_in(client)


def test_a_session_without_its_factor_counts_for_nothing(client: Client) -> None:
    log_in(client, make_user())
    session = client.session
    del session["otp_device_id"]
    session.save()
    assert not is_in(client)


def test_a_session_does_not_work_with_the_factor_of_somebody_else(client: Client) -> None:
    mine, other = make_user(), make_user()
    log_in(client, mine)
    session = client.session
    session["otp_device_id"] = other.totpdevice_set.get().persistent_id
    session.save()
    assert not is_in(client)


def test_the_registry_holds_no_session_key(client: Client) -> None:
    log_in(client, make_user())
    assert str(client.session.session_key) not in str(list(UserSession.objects.values()) + list(Event.objects.values()))
