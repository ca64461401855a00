"""The drain against a real server: what arrives, what is recorded, what happens when things break."""

import threading
from datetime import timedelta
from itertools import count

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.models import Event
from audit.tags import Tag
from spool.enums import DeliveryState, Direction, Outcome, RouteState
from spool.models import Attempt, Delivery, Lease, Mailbox, Message, Route
from spool.queue import claim, drainsweep, leases, queries
from spool.queue.deliver import Sent
from spool.queue.drain import Drain
from spool.queue.ingest import Recipient
from spool.queue.settle import settle
from spool.smtp import replies
from spool.smtp.client import Result
from tests.doubles.primary import Act, Primary, close, drop, hang, reply
from tests.factories.accounts import make_user
from tests.factories.spool import make_mailbox, make_message, make_raw
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
_number = count(1)


def mailbox_at(primary: Primary, **route: object) -> Mailbox:
    mailbox = make_mailbox(f"anna@drain{next(_number)}.test")
    mailbox.domain.route.hosts.update(port=primary.port)
    Route.objects.filter(pk=mailbox.domain.route_id).update(**{"state": RouteState.RECOVERING, **route})
    mailbox.domain.route.refresh_from_db()
    return mailbox


def run(mailbox: Mailbox, direction: Direction = Direction.INBOUND) -> None:
    Drain(mailbox.domain.route, direction).run()


def states(message: Message) -> list[str]:
    return list(message.deliveries.order_by("pk").values_list("state", flat=True))


def make_due() -> None:
    Delivery.objects.filter(state=DeliveryState.QUEUED).update(next_attempt_at=timezone.now())


def test_bytes_arrive_unchanged_below_one_trace_header() -> None:
    raw = make_raw() + b".\r\n..dots\r\n\xff\xfe 8-bit \xc3\xbc\r\n" + b"x" * 70_000 + b"\r\n"
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        message = make_message(raw, mailbox=mailbox)
        run(mailbox)
        (kept,) = primary.kept
        header, separator, rest = kept.octets.partition(b"From: ")
        assert separator + rest == raw
        assert header.startswith(b"Received: ")
        assert message.public_id.encode() in header
        assert kept.sender == "erika@outside.test"
    delivery = message.deliveries.get()
    assert (delivery.state, delivery.last_code, delivery.last_reply) == ("delivered", 250, "2.0.0 kept as 1")
    attempt = delivery.tries.get()
    assert (attempt.outcome, attempt.phase, attempt.host) == ("delivered", "dot", f"127.0.0.1:{primary.port}")


def test_recipients_of_one_message_share_a_transaction_and_each_gets_its_own_reply() -> None:
    with Primary() as primary:
        first = mailbox_at(primary)
        others = tuple(make_mailbox(f"{name}@{first.domain.name}", domain=first.domain) for name in ("b", "c"))
        primary.on("rcpt", reply("550 5.1.1 nobody"), recipient=others[0].address)
        primary.on("rcpt", reply("451 4.2.1 busy"), recipient=others[1].address)
        message = make_message(mailboxes=(first, *others))
        run(first)
        assert sorted(states(message)) == ["delivered", "queued", "review"]
        assert [kept.recipients for kept in primary.kept] == [(first.address,)]
        primary.heal()
        make_due()
        run(first)
        assert [kept.recipients for kept in primary.kept] == [(first.address,), (others[1].address,)]
    review = Event.objects.get(tag=Tag.DELIVERY_REVIEW.value)
    assert review.target_label == others[0].address
    assert review.detail == {"code": 550}


def test_many_messages_use_few_connections_and_few_events() -> None:
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        for _ in range(60):
            make_message(mailbox=mailbox)
        run(mailbox)
        assert len(primary.kept) == 60
        assert primary.connections <= 8
    assert not Delivery.objects.exclude(state=DeliveryState.DELIVERED).exists()
    events = Event.objects.filter(tag=Tag.BATCH_DELIVERED.value)
    assert sum(event.detail["count"] for event in events) == 60
    assert events.count() < 30
    assert queries.account(domains=[mailbox.domain.name]).adds_up


@pytest.mark.parametrize("act", [drop(), close()])
def test_no_answer_after_the_dot_is_ambiguous_and_counted(act: Act) -> None:
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        primary.on("dot", act, times=2)
        message = make_message(mailbox=mailbox)
        for _ in range(3):
            make_due()
            run(mailbox)
        assert states(message) == ["delivered"]
        ambiguous = Attempt.objects.filter(outcome=Outcome.AMBIGUOUS).count()
        assert ambiguous == 2
        assert queries.ambiguous_attempts([mailbox.domain.name]) == 2
        assert primary.copies(mailbox.address) <= 1 + ambiguous


def test_a_dead_primary_burns_one_attempt_and_becomes_suspect() -> None:
    primary = Primary().start()
    mailbox = mailbox_at(primary, state=RouteState.UP)
    primary.stop()
    for _ in range(5):
        make_message(mailbox=mailbox)
    run(mailbox)
    assert Attempt.objects.count() == 1
    route = Route.objects.get(pk=mailbox.domain.route_id)
    assert route.state == RouteState.SUSPECT
    assert "connection refused" in route.changes.get().evidence
    make_due()
    run(mailbox)  # not open: nothing is tried
    assert Attempt.objects.count() == 1
    assert set(Delivery.objects.values_list("state", flat=True)) == {"queued"}


def test_an_unlucky_message_is_seen_at_its_first_failure() -> None:
    with Primary() as primary:
        mailbox = mailbox_at(primary, state=RouteState.UP)
        primary.on("rcpt", reply("451 4.7.1 greylisted"), times=1)
        message = make_message(mailbox=mailbox, visible=False)
        run(mailbox)
        delivery = message.deliveries.get()
        assert delivery.visible_at is not None
        assert delivery.next_attempt_at > timezone.now() + timedelta(seconds=20)
        make_due()
        run(mailbox)
        assert primary.copies(mailbox.address) == 1


def test_a_primary_that_refuses_everything_is_left_alone_after_a_burst() -> None:
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        primary.on("rcpt", reply("550 5.1.1 directory lost"))
        for _ in range(60):
            make_message(mailbox=mailbox)
        run(mailbox)
        refused = Delivery.objects.filter(state=DeliveryState.REVIEW).count()
        assert 10 <= refused < 32
        run(mailbox)  # the lease is kept for a pause
        assert Delivery.objects.filter(state=DeliveryState.REVIEW).count() == refused


def test_mail_the_primary_cannot_carry_waits_for_a_person() -> None:
    with Primary(extensions=("PIPELINING",)) as primary:
        mailbox = mailbox_at(primary)
        message = make_message(make_raw() + b"\xc3\xbc\r\n", mailbox=mailbox)
        run(mailbox)
        delivery = message.deliveries.get()
        assert delivery.state == DeliveryState.REVIEW
        assert "8BITMIME" in delivery.last_reply


def test_a_held_route_or_delivery_waits() -> None:
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        held = make_message(mailbox=mailbox)
        held.deliveries.update(held=True)
        make_message(mailbox=mailbox)
        run(mailbox)
        assert len(primary.kept) == 1
        Route.objects.update(held=True)
        make_message(mailbox=mailbox)
        run(mailbox)
        assert len(primary.kept) == 1


def outbound(mailbox: Mailbox, recipient: str = "x@outside.test") -> Message:
    user = make_user()
    path = Recipient(recipient, mailbox.domain.route_id, direction=Direction.OUTBOUND)
    return make_message(
        recipients=(path,), reverse_path=mailbox.address, peer=None, author_id=user.pk, author_mailbox_id=mailbox.pk
    )


def test_outbound_mail_refused_for_good_is_told_to_its_author() -> None:
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        primary.on("rcpt", reply("550 5.1.1 nobody here"), recipient="x@outside.test")
        message = outbound(mailbox)
        run(mailbox, Direction.OUTBOUND)
        assert states(message) == ["bounced"]
        notice = Message.objects.exclude(pk=message.pk).get()
        assert notice.reverse_path == ""
        assert notice.deliveries.get().mailbox == mailbox
        assert notice.deliveries.get().visible_at is not None
        run(mailbox)
        assert b"550 5.1.1 nobody here" in primary.kept[0].octets


def test_outbound_mail_escapes_by_the_smarthost_while_the_route_is_down() -> None:
    with Primary() as primary, Primary() as smarthost:
        mailbox = mailbox_at(primary, state=RouteState.DOWN)
        waiting = outbound(mailbox)
        run(mailbox, Direction.OUTBOUND)
        assert states(waiting) == ["queued"]
        Route.objects.update(smarthost_url=f"smtp://127.0.0.1:{smarthost.port}")
        run(mailbox, Direction.OUTBOUND)
        assert states(waiting) == ["delivered"]
        assert (len(primary.kept), len(smarthost.kept)) == (0, 1)


# --- leases and fencing ---------------------------------------------------------------------------------------
def test_two_drains_never_send_the_same_row() -> None:
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        primary.on("dot", reply("250 2.0.0 slowly", delay=0.01))
        for _ in range(40):
            make_message(mailbox=mailbox)
        now = timezone.now()
        tokens = []

        def take() -> None:
            tokens.append(claim.claim(mailbox.domain.route, Direction.INBOUND, messages=25, host="", now=now))
            connection.close()

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = [delivery.pk for each in tokens for job in each.jobs for delivery in job.deliveries]
        assert len(taken) == len(set(taken)) <= 40
        assert len(primary.kept) == 0


def test_an_expired_lease_returns_and_its_attempt_counts_as_ambiguous() -> None:
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        message = make_message(mailbox=mailbox)
        now = timezone.now()
        late = claim.claim(mailbox.domain.route, Direction.INBOUND, messages=5, host="h:25", now=now)
        assert claim.recover(now=now) == 0
        later = now + timedelta(seconds=claim.LEASE_SECONDS + 1)
        assert later - now <= timedelta(seconds=120)
        assert claim.recover(now=later) == 1
        assert Attempt.objects.get().outcome == Outcome.AMBIGUOUS
        assert claim.renew(late.token, now=later) == 0
        make_due()
        run(mailbox)
        assert states(message) == ["delivered"]
        assert [attempt.number for attempt in message.deliveries.get().tries.all()] == [1, 2]


def test_a_late_holder_changes_no_row() -> None:
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        message = make_message(mailbox=mailbox)
        now = timezone.now()
        late = claim.claim(mailbox.domain.route, Direction.INBOUND, messages=5, host="h:25", now=now)
        claim.recover(now=now + timedelta(seconds=200))
        result = Result(mailbox.address, replies.Phase.DOT, replies.Outcome.DELIVERED, 250, "", "late")
        settle([Sent(late.jobs[0], (result,), "h:25")], late.token, now=now)
        assert states(message) == ["queued"]


def test_a_drain_that_lost_time_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process stopped between claim and final dot wakes up after its lease: it must not send."""
    with Primary() as primary:
        mailbox = mailbox_at(primary)
        message = make_message(mailbox=mailbox)
        monkeypatch.setattr(Drain, "_may_send", lambda self: False)
        run(mailbox)
        assert primary.kept == []
        assert states(message) == ["queued"]
        assert Attempt.objects.get().outcome == Outcome.TRANSIENT


def test_leases_are_fenced() -> None:
    now = timezone.now()
    first = leases.acquire("x", seconds=10, now=now, holder="a")
    assert first
    assert leases.acquire("x", seconds=10, now=now, holder="b") is None
    later = now + timedelta(seconds=11)
    second = leases.acquire("x", seconds=10, now=later, holder="b")
    assert second
    assert second.token > first.token
    with pytest.raises(leases.LeaseLostError):
        leases.renew(first, seconds=9, now=later)
    with transaction.atomic(), pytest.raises(leases.LeaseLostError):
        leases.fence(first, now=later)
    leases.release(second, now=later)
    assert leases.acquire("x", seconds=1, now=later, holder="c")
    assert Lease.objects.get().token == 3


def test_the_sweep_drains_in_threads_and_a_hanging_primary_delays_nobody_else() -> None:
    with Primary() as hanging, Primary() as healthy:
        slow, quick = mailbox_at(hanging), mailbox_at(healthy)
        hanging.on("dot", hang())
        make_message(mailbox=slow)
        for _ in range(20):
            make_message(mailbox=quick)
        drainsweep.sweep(now=timezone.now())
        wait_for(lambda: len(healthy.kept) == 20, seconds=60)
        assert Delivery.objects.get(mailbox=slow).state == DeliveryState.LEASED, "it hangs no more"
        drainsweep.stop_all(seconds=8)
        wait_for(lambda: not Delivery.objects.filter(state=DeliveryState.LEASED).exists(), seconds=8)
        assert Attempt.objects.filter(outcome=Outcome.AMBIGUOUS).count() == 1


def test_the_log_says_in_words_what_became_of_a_drain(caplog: pytest.LogCaptureFixture) -> None:
    with Primary() as primary, caplog.at_level("INFO", "spool.queue.drainsweep"):
        mailbox = mailbox_at(primary)
        make_message(mailbox=mailbox)
        drainsweep.sweep(now=timezone.now())
        said = f"drained {mailbox.domain.route.name} inbound: 1 delivered, 0 put off, 0 refused, 0 without an answer"
        wait_for(lambda: said in caplog.messages)
