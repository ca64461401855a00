"""The watch as a loop and as a process: it detects, wakes at once, yields, survives and stops."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audit import guards
from audit.models import ChainHead, Event
from audit.record import record
from audit.sealing import seal
from audit.tags import Tag
from spool.enums import RouteState
from spool.models import Delivery, Heartbeat, Lease, Probe, Route
from spool.queue.probe import probe, target_of
from spool.queue.watch import Watch, is_due
from tests.doubles.drainer import database_url
from tests.doubles.installation import ROOT, free_port
from tests.doubles.primary import Act, Primary, close, drop, hang, reply
from tests.factories.spool import make_domain, make_mailbox, make_message, make_route
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def route_to(*primaries: Primary) -> Route:
    route = make_domain().route
    route.hosts.all().delete()
    for position, primary in enumerate(primaries):
        route.hosts.create(position=position, host="127.0.0.1", port=primary.port)
    return route


def state(route: Route) -> str:
    return Route.objects.get(pk=route.pk).state


@contextmanager
def running(watch: Watch) -> Iterator[Watch]:
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop.set()
        thread.join(5)
        assert not thread.is_alive()


# --- one look ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("phase", "act", "good"),
    [
        ("rcpt", reply("250 2.1.5 ok"), True),
        ("rcpt", reply("550 5.1.1 no postmaster here"), True),
        ("rcpt", reply("451 4.3.0 directory away"), False),
        ("mail", reply("452 4.3.1 disk full"), False),
        ("greeting", reply("421 4.3.2 starting"), False),
        ("greeting", reply("554 5.3.2 no"), False),
        ("greeting", hang(), False),
        ("ehlo", drop(), False),
        ("rcpt", close(), False),
    ],
)
def test_a_look(phase: str, act: Act, good: bool) -> None:
    with Primary() as primary:
        primary.on(phase, act)
        evidence = probe(target_of(route_to(primary), helo="einbox.test", timeout=0.5))
        assert evidence.ok is good
        assert good or evidence.phase == phase
        assert evidence.milliseconds < 2000
        assert primary.kept == []


def test_any_good_host_is_good() -> None:
    dead = Primary().start()
    dead.stop()
    with Primary() as alive:
        evidence = probe(target_of(route_to(dead, alive), helo="einbox.test", timeout=1))
        assert evidence.ok
        assert evidence.host == f"127.0.0.1:{alive.port}"
        assert alive.commands[1:3] == ["MAIL FROM:<>", f"RCPT TO:<postmaster@{Route.objects.get().domains.get().name}>"]


def test_a_route_without_hosts_is_bad() -> None:
    assert not probe(target_of(route_to(), helo="einbox.test", timeout=1)).ok


# --- when to look -------------------------------------------------------------------------------------------------
def test_a_sender_causes_a_look_at_once_but_a_crowd_only_one_a_second() -> None:
    now = timezone.now()
    route = make_route(next_probe_at=now + timedelta(seconds=5), last_probe_at=now - timedelta(seconds=2))
    assert not is_due(route, now=now)
    route.probe_wanted_at = now
    assert is_due(route, now=now)
    route.last_probe_at = now - timedelta(milliseconds=500)
    assert not is_due(route, now=now)
    route.last_probe_at = now
    route.probe_wanted_at = now - timedelta(seconds=1)
    assert not is_due(route, now=now + timedelta(seconds=3))


# --- the loop -----------------------------------------------------------------------------------------------------
def test_an_outage_and_its_end_are_seen() -> None:
    with Primary() as primary:
        route = route_to(primary)
        with running(Watch()):
            wait_for(lambda: Probe.objects.filter(route=route, ok=True).exists())
            primary.stop()
            Route.objects.update(probe_wanted_at=timezone.now() + timedelta(seconds=1))
            wait_for(lambda: state(route) == RouteState.DOWN, seconds=10)
            primary.start()
            wait_for(lambda: state(route) == RouteState.UP, seconds=10)
            wait_for(lambda: not Event.objects.filter(seq__isnull=True).exists(), what="sealing")
        assert not Heartbeat.objects.filter(service="watch").exists()


def test_a_hanging_primary_does_not_delay_the_look_at_another() -> None:
    with Primary() as hanging, Primary() as healthy:
        hanging.on("greeting", hang())
        slow, quick = route_to(hanging), route_to(healthy)
        watch = Watch()
        now = timezone.now()
        watch.tick(now=now)
        wait_for(lambda: watch.tick(now=timezone.now()) and Probe.objects.filter(route=quick).exists(), seconds=2)
        assert not Probe.objects.filter(route=slow).exists()
        watch.close()


def test_several_may_run_and_one_acts() -> None:
    with Primary() as primary:
        route_to(primary)
        first, second = Watch(holder="a:1"), Watch(holder="b:2")
        now = timezone.now()
        assert first.tick(now=now)
        assert not second.tick(now=now)
        later = now + timedelta(seconds=9)  # the first one is stopped (SIGSTOP) and wakes up late
        assert second.tick(now=later)
        wait_for(lambda: all(future.done() for future in first._probes.values()))
        probes = Probe.objects.count()
        assert not first.tick(now=later)
        assert Probe.objects.count() == probes
        assert Heartbeat.objects.filter(service="watch").count() == 2
        second.close()
        assert first.tick(now=later)
        first.close()


def test_hidden_mail_is_shown_after_a_minute_or_when_the_route_is_not_up() -> None:
    now = timezone.now()
    up, down = make_mailbox(), make_mailbox()
    Route.objects.filter(pk=down.domain.route_id).update(state=RouteState.DOWN)
    Route.objects.update(next_probe_at=now + timedelta(hours=1))
    fresh = make_message(mailbox=up, visible=False, now=now)
    old = make_message(mailbox=up, visible=False, now=now - timedelta(seconds=61))
    waiting = make_message(mailbox=down, visible=False, now=now)
    watch = Watch()
    watch.tick(now=now)
    watch.close()
    visible = set(Delivery.objects.filter(visible_at__isnull=False).values_list("message_id", flat=True))
    assert old.pk in visible
    assert waiting.pk in visible
    assert fresh.pk not in visible


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_watches_and_stops_within_three_seconds(number: int) -> None:
    with Primary() as primary:
        primary.on("greeting", hang())  # a look under way must not keep the process
        route_to(primary)
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "watch"], env=os.environ | {"EINBOX_DATABASE_URL": database_url()}
        )
        try:
            wait_for(lambda: primary.connections, seconds=20)
            assert Lease.objects.filter(name="watch").exists()
            started = time.monotonic()
            process.send_signal(number)
            assert process.wait(10) == 0
            assert time.monotonic() - started < 3
        finally:
            process.kill()
            process.wait()


def test_a_database_that_is_away_is_waited_for() -> None:
    url = f"postgres://nobody@127.0.0.1:{free_port()}/away"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "watch"],
        env=os.environ | {"EINBOX_DATABASE_URL": url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        line = process.stderr.readline()
        assert "the database is away" in line
        assert "nobody" not in line
        assert process.poll() is None
        process.terminate()
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_wrong_setting_ends_the_watch_with_an_error() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "watch"],
        env=os.environ | {"EINBOX_PROBE_INTERVAL": "soon"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "EINBOX_PROBE_INTERVAL" in done.stderr


def test_the_watch_checks_the_log_and_a_broken_one_stops_nothing() -> None:
    mailbox = make_mailbox()
    with Primary() as primary:
        mailbox.domain.route.hosts.update(port=primary.port)
        for _ in range(3):
            record(Tag.MESSAGE_READ, detail={"mailbox": "box"})
        seal(now=timezone.now())
        with guards.lifted(connection):
            Event.objects.filter(seq=2).update(outcome="forged")
        with running(Watch()):
            wait_for(lambda: ChainHead.objects.get().broken_seq == 2, what="the break to be found")
            probes = Probe.objects.count()
            wait_for(lambda: Probe.objects.count() > probes or state(mailbox.domain.route) == "up")
            make_message(mailbox=mailbox)
            wait_for(lambda: not Event.objects.filter(seq=None).exists(), what="later events to be sealed")
    assert Event.objects.filter(tag=Tag.AUDIT_VERIFY_FAILED.value).count() == 1
