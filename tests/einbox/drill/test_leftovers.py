"""What a drill leaves behind when it is stopped, or was killed; and that nobody else's rows are touched."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import User
from accounts.provision import create_user
from audit.models import Event
from einbox.drill import leftovers, stage
from spool.enums import UNFINISHED, DeliveryState, Direction, RouteState
from spool.models import Attempt, Delivery, Domain, Mailbox, Outage, Route
from spool.queue import claim, mailboxes
from spool.queue.transitions import open_detected
from tests.factories.spool import make_domain, make_message

pytestmark = pytest.mark.django_db


def furnish(name: str, *, drill: bool) -> Mailbox:
    """A domain in the middle of an outage: a person, mail that waits and mail under way."""
    domain = make_domain(name)
    Domain.objects.filter(pk=domain.pk).update(is_drill=drill)
    user = create_user(email=f"anna@{name}", drill=drill)
    box = mailboxes.add(user.email, now=timezone.now(), user=user)
    for _ in range(3):
        make_message(mailbox=box)
    open_detected(domain.route, now=timezone.now())
    claim.claim(domain.route, Direction.INBOUND, messages=1, host="127.0.0.1:9", now=timezone.now())
    domain.route.state = RouteState.DOWN
    domain.route.save()
    return box


def is_open(box: Mailbox) -> tuple[bool, int, int, str]:
    """Whether its person can log in, deliveries that wait, open outages, the route's state."""
    assert box.user is not None
    return (
        User.objects.get(pk=box.user.pk).is_active,
        Delivery.objects.filter(mailbox=box, state__in=UNFINISHED).count(),
        Outage.objects.filter(route=box.domain.route, closed_at=None).count(),
        Route.objects.get(pk=box.domain.route_id).state,
    )


OPEN, CLOSED = (True, 3, 1, "down"), (False, 0, 0, "up")


def test_a_stopped_drill_leaves_nothing_open() -> None:
    real, drill = furnish("company.example", drill=False), furnish("drill-1.test", drill=True)
    assert is_open(real) == is_open(drill) == OPEN
    leftovers.clear(drill.domain, ended=False, now=timezone.now())
    assert (is_open(real), is_open(drill)) == (OPEN, CLOSED)
    assert not Attempt.objects.filter(delivery__mailbox=drill, finished_at=None).exists()
    event = Event.objects.get(tag="system.drill.stopped")
    assert (event.detail, event.drill) == ({"withdrawn": 3}, True)


def test_lists_show_a_drill_until_its_people_are_closed_out_and_when_asked() -> None:
    furnish("company.example", drill=False)
    drill = furnish("drill-1.test", drill=True)
    mailboxes.add("nobody-yet@drill-1.test", now=timezone.now())
    Outage.objects.update(down_at=timezone.now())
    lists = {("domain", "list"): 1, ("user", "list"): 1, ("mailbox", "list"): 2, ("outage", "list", "--all"): 1}
    for words, theirs in lists.items():
        assert [len(listed(*words)), len(listed(*words, "--drills"))] == [1 + theirs, 1 + theirs], words
    leftovers.clear(drill.domain, ended=True, now=timezone.now())
    for words, theirs in lists.items():
        assert [len(listed(*words)), len(listed(*words, "--drills"))] == [1, 1 + theirs], words


def listed(*words: str) -> list[Any]:
    call_command(*words, "--json", stdout=(out := StringIO()))
    return list(json.loads(out.getvalue()))


def test_somebody_who_has_no_mailbox_yet_cannot_log_in_any_more_either() -> None:
    drill = furnish("drill-1.test", drill=True)
    alone = create_user(email="ruth@drill-1.test", drill=True)
    leftovers.clear(drill.domain, ended=False, now=timezone.now())
    assert not User.objects.get(pk=alone.pk).is_active


def test_a_drill_that_came_to_its_end_withdraws_nothing() -> None:
    drill = furnish("drill-1.test", drill=True)
    now = timezone.now()
    Outage.objects.update(closed_at=now)
    Route.objects.update(state=RouteState.UP)
    Delivery.objects.update(state=DeliveryState.DELIVERED, finished_at=now, lease_until=None)
    leftovers.clear(drill.domain, ended=True, now=now)
    assert not User.objects.get(email="anna@drill-1.test").is_active
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
    assert not Event.objects.filter(tag="system.drill.stopped").exists()


def test_only_drills_of_another_day_are_forgotten() -> None:
    real, running, killed = (furnish(f"{name}.example", drill=name != "real") for name in ("real", "running", "killed"))
    long_ago = timezone.now() - leftovers.FORGOTTEN_AFTER - timedelta(minutes=1)
    Domain.objects.exclude(pk=running.domain_id).update(created_at=long_ago)
    leftovers.clear_forgotten(now=timezone.now())
    assert [is_open(box) for box in (real, running, killed)] == [OPEN, OPEN, CLOSED]


def test_a_drill_that_was_killed_is_cleared_up_by_the_next_of_another_day(tmp_path: Path) -> None:
    killed = furnish("drill-1.test", drill=True)
    Domain.objects.filter(pk=killed.domain_id).update(created_at=timezone.now() - 2 * leftovers.FORGOTTEN_AFTER)
    with stage.set_up(tmp_path):
        assert is_open(killed) == CLOSED
