"""SIGKILL at each point of a delivery: nothing is lost, and copies never exceed one plus the ambiguous attempts."""

import signal
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from spool.enums import DeliveryState, Direction, Outcome, RouteState
from spool.models import Attempt, Delivery, Lease, Mailbox, Route
from spool.queue import claim, queries
from spool.queue.drain import Drain
from tests.doubles.drainer import drain_in_child
from tests.doubles.primary import Primary
from tests.factories.spool import make_mailbox, make_message

pytestmark = pytest.mark.django_db(transaction=True)
POINTS = (
    "after_lease", "after_connect", "after_rcpt", "mid_data", "after_dot", "after_reply", "before_commit",
    "after_commit",
)  # fmt: skip
MESSAGES = 12


def spool_of(primary: Primary) -> Mailbox:
    """A mailbox of a route whose spool holds MESSAGES messages to two recipients each."""
    first = make_mailbox()
    second = make_mailbox(f"second@{first.domain.name}", domain=first.domain)
    first.domain.route.hosts.update(port=primary.port)
    Route.objects.update(state=RouteState.RECOVERING)
    for _ in range(MESSAGES):
        make_message(mailboxes=(first, second))
    return first


def finish_after_lease(route: Route) -> None:
    """What the next drain does once the dead one's leases have run out."""
    claim.recover(now=timezone.now() + timedelta(seconds=claim.LEASE_SECONDS + 1))
    Delivery.objects.filter(state=DeliveryState.QUEUED).update(next_attempt_at=timezone.now())
    Lease.objects.update(until=timezone.now())
    Drain(route, Direction.INBOUND).run()


@pytest.mark.parametrize(
    ("point", "nth"), [*((point, 1) for point in POINTS), ("mid_data", 3), ("after_dot", 3), ("before_commit", 3)]
)
def test_a_killed_drain_loses_nothing_and_copies_are_bounded(point: str, nth: int) -> None:
    with Primary() as primary:
        first = spool_of(primary)
        died = drain_in_child(first.domain.route_id, failpoints=f"deliver.{point}=kill:{nth}")
        assert died == -signal.SIGKILL
        assert queries.account(domains=[first.domain.name]).adds_up
        finish_after_lease(first.domain.route)
        assert not Delivery.objects.exclude(state=DeliveryState.DELIVERED).exists()
        for delivery in Delivery.objects.select_related("message"):
            copies = primary.copies(delivery.forward_path, b"<%s>" % delivery.message.message_id.encode())
            ambiguous = delivery.tries.filter(outcome=Outcome.AMBIGUOUS).count()
            assert 1 <= copies <= 1 + ambiguous
        assert not Attempt.objects.filter(finished_at__isnull=True).exists()


def test_a_drain_without_leases_would_fail_this_proof() -> None:
    """The bound is not empty: sending again without counting the cut attempt breaks it."""
    with Primary() as primary:
        first = spool_of(primary)
        drain_in_child(first.domain.route_id, failpoints="deliver.before_commit=kill:1")
        Attempt.objects.all().delete()
        Delivery.objects.update(
            state=DeliveryState.QUEUED, lease_until=None, next_attempt_at=timezone.now(), attempts=0
        )
        finish_after_lease(first.domain.route)
        copies = Counter((recipient, kept.octets) for kept in primary.kept for recipient in kept.recipients)
        assert max(copies.values()) > 1 + Attempt.objects.filter(outcome=Outcome.AMBIGUOUS).count()
