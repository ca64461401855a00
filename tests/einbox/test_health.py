"""Liveness, readiness and metrics as a load balancer and Prometheus see them."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from audit import guards, patrol
from audit.context import Actor
from audit.models import ChainHead, Event
from audit.record import record
from audit.sealing import seal
from audit.tags import Tag
from einbox.celery import heartbeat
from einbox.doctor.examination import examine
from einbox.finding import FAIL, WARN
from spool.models import Heartbeat, Route

pytestmark = pytest.mark.django_db


def sign_of_life(service: str, *, seconds_ago: float = 0, host: str = "test") -> None:
    at = timezone.now() - timedelta(seconds=seconds_ago)
    Heartbeat.objects.update_or_create(name=f"{service}:{host}:1", defaults={"service": service, "at": at})


def ready(client: Client) -> tuple[int, dict[str, str]]:
    response = client.get("/readyz")
    return response.status_code, json.loads(response.content)["checks"]


def test_ready_when_all_give_a_sign_of_life(client: Client) -> None:
    for service in ("smtpd", "watch"):
        sign_of_life(service)
    heartbeat()
    status, checks = ready(client)
    assert status == 200
    assert set(checks.values()) == {"ok"}


@pytest.mark.parametrize("service", ["smtpd", "watch"])
def test_silence_of_what_capture_needs_is_503(client: Client, service: str) -> None:
    for name in ("smtpd", "watch"):
        sign_of_life(name, seconds_ago=60 if name == service else 0)
    status, checks = ready(client)
    assert status == 503
    assert checks[service] == "failed"


@pytest.mark.parametrize("service", ["smtpd", "watch"])
def test_one_of_several_that_hangs_is_degraded_and_doctor_names_it(client: Client, service: str) -> None:
    for name in ("smtpd", "watch", "worker"):
        sign_of_life(name)
        sign_of_life(name, host="other", seconds_ago=20)
    assert set(ready(client)[1].values()) == {"ok"}
    now = timezone.now()
    sign_of_life(service, host="mx2", seconds_ago=45)
    sign_of_life("worker", host="mx2", seconds_ago=45)  # the other one may be asked each time
    status, checks = ready(client)
    assert (status, checks.pop(service)) == (200, "degraded")
    assert set(checks.values()) == {"ok"}
    [finding] = [each for each in examine(now=now) if each.check == f"process {service}"]
    assert finding.state == WARN
    assert f"but {service}:mx2:1 none for 45 s: it hangs" in finding.sentence


def test_missing_worker_and_broker_are_degraded_not_dead(client: Client, settings) -> None:  # type: ignore[no-untyped-def]
    settings.BROKER_URL = "redis://127.0.0.1:1/0"  # nobody listens on port 1
    for name in ("smtpd", "watch"):
        sign_of_life(name)
    status, checks = ready(client)
    assert status == 200
    assert checks["worker"] == checks["broker"] == "degraded"


@pytest.mark.parametrize("headless", [False, True])
def test_a_log_that_the_patrol_found_broken_is_degraded_not_dead(client: Client, headless: bool) -> None:
    now = timezone.now()
    for name in ("smtpd", "watch"):
        sign_of_life(name)
    for _ in range(3):
        record(Tag.KEYS_SHOWN)
    seal(now=now)
    assert ready(client)[1]["audit"] == "ok"
    with guards.lifted(connection):
        if headless:
            ChainHead.objects.all().delete()
        else:
            Event.objects.filter(seq=2).update(outcome="forged")
    patrol.step(now=now)
    status, checks = ready(client)
    assert (status, checks["audit"]) == (200, "degraded")
    [finding] = [each for each in examine(now=now) if each.check == "audit chain"]
    assert (finding.state, str(1 if headless else 2) in finding.sentence) == (FAIL, True)


def test_events_that_wait_too_long_for_their_seal_are_degraded(client: Client) -> None:
    now = timezone.now()
    with time_machine.travel(now - timedelta(seconds=11), tick=False):
        record(Tag.KEYS_SHOWN)
    assert ready(client)[1]["audit"] == "degraded"
    assert "audit seal" in {each.check for each in examine(now=now) if each.state == FAIL}
    seal(now=now)
    record(Tag.KEYS_SHOWN)
    assert ready(client)[1]["audit"] == "ok"
    assert "audit seal" not in {each.check for each in examine(now=now)}


def test_healthz_asks_nothing(client: Client, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    with django_assert_num_queries(0):
        assert client.get("/healthz").content == b"ok\n"


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic right-token", "Bearer ", "Bearer right-tokenx"])
def test_metrics_do_not_exist_without_the_token(client: Client, settings, header: str | None) -> None:  # type: ignore[no-untyped-def]
    settings.METRICS_TOKEN = "right-token"
    headers = {"Authorization": header} if header else {}
    assert client.get("/metrics", headers=headers).status_code == 404


def test_metrics_do_not_exist_when_no_token_is_set(client: Client) -> None:
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_metrics_name_counts_and_states_but_no_person(client: Client, settings) -> None:  # type: ignore[no-untyped-def]
    settings.METRICS_TOKEN = "right-token"
    User.objects.create(email="somebody@planted.example")
    Route.objects.create(name="home", state_since=timezone.now())
    record(Tag.LOGIN_REFUSED, actor=Actor("anonymous", None, "somebody@planted.example"))
    body = client.get("/metrics", headers={"Authorization": "Bearer right-token"}).content.decode()
    assert "einbox_deliveries_expire_soon 0.0" in body
    assert "einbox_audit_chain_broken 0.0" in body
    assert 'einbox_deliveries{direction="inbound",state="queued"} 0.0' in body
    assert 'einbox_route_state{route="home",state="up"} 1.0' in body
    assert 'einbox_events_last_hour{tag="account.login.refused"} 1.0' in body
    assert "einbox_messages_unparsed 0.0" in body
    assert "planted" not in body
