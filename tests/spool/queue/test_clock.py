"""A clock that was set back by an hour stops nothing: times far ahead bind nobody."""

from datetime import timedelta

import pytest
from django.utils import timezone

from spool.enums import DeliveryState, RouteState
from spool.models import Delivery, Lease, Route
from spool.queue import claim, drainsweep, leases, queries, visibility
from spool.queue.watch import Watch, is_due
from tests.factories.spool import make_delivery, make_mailbox, make_route

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)


def test_a_route_confirmed_in_the_future_is_not_confirmed_and_is_looked_at_now() -> None:
    now = timezone.now()
    route = make_route(confirmed_at=now + HOUR, next_probe_at=now + HOUR, last_probe_at=now + HOUR)
    assert queries.route_status(route, now=now).stale
    assert is_due(route, now=now)


def test_a_lease_from_the_future_is_taken_over_and_its_holder_fenced() -> None:
    now = timezone.now()
    late = leases.acquire("x", seconds=8, now=now + HOUR, holder="a")
    assert late
    taken = leases.acquire("x", seconds=8, now=now, holder="b")
    assert taken
    assert taken.token > late.token
    with pytest.raises(leases.LeaseLostError):
        leases.renew(late, seconds=8, now=now)
    assert leases.acquire("x", seconds=8, now=now - timedelta(seconds=20), holder="c") is None  # skew between machines


def test_a_watch_brings_its_own_lease_back_to_the_present() -> None:
    now, watch = timezone.now(), Watch()
    assert watch.tick(now=now + HOUR)
    assert watch.tick(now=now)
    assert Lease.objects.get(name="watch").until < now + timedelta(minutes=1)
    watch.close()


def test_hidden_mail_from_the_future_is_shown() -> None:
    now = timezone.now()
    delivery = make_delivery(mailbox=make_mailbox(), visible=False, now=now + HOUR)
    visibility.show(now=now)
    delivery.refresh_from_db()
    assert delivery.visible_at == now


def test_waiting_and_leased_mail_from_the_future_is_due_again() -> None:
    now = timezone.now()
    mailbox = make_mailbox()
    route = mailbox.domain.route
    late = make_delivery(mailbox=mailbox, next_attempt_at=now + 24 * HOUR)
    planned = make_delivery(mailbox=mailbox, next_attempt_at=now + HOUR)
    stuck = make_delivery(
        mailbox=mailbox, state=DeliveryState.LEASED, lease_token=7, lease_until=now + HOUR, next_attempt_at=now
    )
    Route.objects.filter(pk=route.pk).update(state=RouteState.DOWN)
    drainsweep.sweep(now=now)
    rows = {row.pk: row for row in Delivery.objects.all()}
    assert rows[late.pk].next_attempt_at == now
    assert rows[planned.pk].next_attempt_at == planned.next_attempt_at
    assert rows[stuck.pk].state == DeliveryState.QUEUED
    assert claim.recover(now=now) == 0
