"""Addresses learned from a real server's answers, and how long they are known."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from itertools import count

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from audit.models import Event
from spool.enums import DeliveryState, Direction, RecipientPolicy, RouteState
from spool.models import Delivery, Domain, LearnedAddress, Mailbox, Message, Route
from spool.queue import learned, mailboxes
from spool.queue.addresses import Directory, Kind
from spool.queue.drain import Drain
from spool.queue.ingest import Recipient
from spool.queue.recipients import Fate, plan
from spool.smtp.client import Result
from spool.smtp.replies import Outcome, Phase
from tests.doubles.primary import Primary, close, reply
from tests.doubles.smtpd import ServerInThread
from tests.factories.spool import make_domain, make_mailbox, make_message, make_raw, make_route
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
_number = count(1)


def domain_at(primary: Primary, **fields: object) -> Domain:
    name = f"learn{next(_number)}.test"
    return make_domain(name, route=make_route(name=name, port=primary.port, state=RouteState.RECOVERING), **fields)


def accept(domain: Domain, *addresses: str, mailbox: Mailbox | None = None) -> Message:
    """Mail taken for addresses nobody here has; with `mailbox`, into the dropbox."""
    box = mailbox.pk if mailbox else None
    return make_message(
        recipients=tuple(Recipient(one, domain.route_id, box, unknown=True, visible=True) for one in addresses)
    )


def drain(domain: Domain, direction: Direction = Direction.INBOUND) -> None:
    """Hand over what is due; the route stays recovering, so that mail goes on being taken."""
    Drain(domain.route, direction).run()
    Route.objects.filter(pk=domain.route_id).update(state=RouteState.RECOVERING)


def known() -> list[str]:
    return [row.address for row in learned.listed()]


def test_an_accepted_address_is_learned_then_taken_under_reject_and_forgotten_at_5_1_1() -> None:
    with Primary() as primary:
        domain = domain_at(primary)
        zoe = f"zoe@{domain.name}"
        accept(domain, f"Zoe@{domain.name}")
        with ServerInThread() as server:
            with server.client() as client:
                assert client.mail(zoe)[0].startswith("550 5.1.1")
            server.views.start()
            try:
                drain(domain)
                assert known() == [zoe]

                def answer(what: str) -> bool:
                    with server.client() as client:
                        return client.mail(zoe)[0].startswith(what)

                wait_for(lambda: answer("250"), 5, every=0.3)
                with server.client() as client:
                    assert client.transaction(make_raw(), zoe).startswith("250")
                waiting = Delivery.objects.get(state=DeliveryState.QUEUED)
                assert (waiting.mailbox, waiting.unknown_recipient) == (None, False)
                primary.on("rcpt", reply("550 5.1.1 gone"), recipient=zoe)
                drain(domain)
                waiting.refresh_from_db()
                assert (waiting.state, known()) == (DeliveryState.REVIEW, [])
                assert Message.objects.filter(author_mailbox=None).count() == 2  # no bounce was written
                wait_for(lambda: answer("550 5.1.1"), 5, every=0.3)
            finally:
                server.views.stop()
                server.views.join(10)


@pytest.mark.parametrize("policy", [RecipientPolicy.REJECT, RecipientPolicy.DEFER])
def test_mail_for_a_learned_address_waits_without_a_mailbox_and_goes_home(policy: RecipientPolicy) -> None:
    with Primary() as primary:
        domain = domain_at(primary, recipient_policy=policy)
        accept(domain, f"zoe@{domain.name}")
        drain(domain)
        with ServerInThread() as server, server.client() as client:
            replies = client.mail(f"ZOE@{domain.name}", f"zoe+tag@{domain.name}", f"else@{domain.name}")
            assert [reply[:3] for reply in replies] == [
                "250",
                *["550" if policy == RecipientPolicy.REJECT else "450"] * 2,
            ]
            assert client.data(make_raw()).startswith("250")
        drain(domain)
        assert [kept.recipients for kept in primary.kept] == [(f"zoe@{domain.name}",), (f"ZOE@{domain.name}",)]


@pytest.mark.parametrize(
    "answer",
    ["450 4.1.1 later", "550 5.7.1 policy", "550 no code", "550 5.1.8 your domain", "550 5.2.1 disabled", "cut"],
)
def test_only_a_250_teaches_and_only_5_1_x_of_the_recipient_forgets(answer: str) -> None:
    act = close() if answer == "cut" else reply(answer)
    with Primary() as primary:
        domain = domain_at(primary)
        zoe, new = f"zoe@{domain.name}", f"new@{domain.name}"
        accept(domain, zoe)
        drain(domain)
        primary.on("rcpt", act)
        accept(domain, zoe, new)
        drain(domain)
        assert known() == [zoe]


def test_no_answer_after_the_dot_teaches_nothing() -> None:
    with Primary() as primary:
        domain = domain_at(primary)
        primary.on("dot", close())
        accept(domain, f"zoe@{domain.name}")
        drain(domain)
        assert (len(primary.kept), known()) == (1, [])


def test_mailboxes_outbound_mail_and_drills_teach_nothing() -> None:
    with Primary() as primary:
        domain = domain_at(primary)
        box = make_mailbox(f"anna@{domain.name}", domain=domain)
        make_message(mailbox=box)
        outbound = Recipient("kim@outside.test", domain.route_id, direction=Direction.OUTBOUND)
        make_message(
            recipients=(outbound, Recipient(f"kim@{domain.name}", domain.route_id, direction=Direction.OUTBOUND))
        )
        drain(domain)
        drain(domain, Direction.OUTBOUND)
        drill = domain_at(primary, is_drill=True)
        accept(drill, f"zoe@{drill.name}")
        drain(drill)
        assert not Delivery.objects.exclude(state=DeliveryState.DELIVERED).exists()
        assert known() == []


def test_mail_of_the_dropbox_teaches_too_and_a_busy_address_is_written_once_an_hour() -> None:
    with Primary() as primary:
        domain = domain_at(primary)
        desk = make_mailbox(f"desk@{domain.name}", domain=domain, shared=True)
        accept(domain, f"zoe@{domain.name}", mailbox=desk)
        drain(domain)
        first = LearnedAddress.objects.get()
        for ago, moved in ((timedelta(minutes=59), False), (timedelta(minutes=61), True)):
            before = timezone.now() - ago
            LearnedAddress.objects.update(confirmed_at=before)
            accept(domain, f"zoe@{domain.name}", mailbox=desk)
            drain(domain)
            row = LearnedAddress.objects.get()
            assert (row.confirmed_at > before, row.learned_at) == (moved, first.learned_at)


def test_each_domain_keeps_a_bounded_number_and_the_longest_unconfirmed_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "PER_DOMAIN", 3)
    with Primary() as primary:
        domain, other = domain_at(primary), domain_at(primary)
        accept(other, f"far@{other.name}")
        drain(other)
        now = timezone.now()
        for hours, name in ((9, "a"), (7, "b"), (8, "c")):
            at = now - timedelta(hours=hours)
            LearnedAddress.objects.create(
                domain=domain, address=f"{name}@{domain.name}", learned_at=at, confirmed_at=at
            )
        accept(domain, f"a@{domain.name}", f"d@{domain.name}")
        drain(domain)
        assert {one.partition("@")[0] for one in known()} == {"a", "b", "d", "far"}


def test_learned_addresses_are_listed_and_removed_with_an_event() -> None:
    domain = make_domain("example.test")
    now = timezone.now()
    LearnedAddress.objects.create(domain=domain, address="zoe@example.test", learned_at=now, confirmed_at=now)
    out = StringIO()
    call_command("mailbox", "list", "--learned", "--json", stdout=out)
    assert [row["address"] for row in json.loads(out.getvalue())] == ["zoe@example.test"]
    assert Directory.load().resolve("Zoe@example.test").kind is Kind.LEARNED
    call_command("mailbox", "forget", "Zoe@Example.test", stdout=StringIO())
    assert Event.objects.get(tag="spool.learned.removed").target_label == "zoe@example.test"
    assert Directory.load().resolve("zoe@example.test").kind is Kind.UNKNOWN
    for wrong in ("zoe@example.test", "zoe"):
        with pytest.raises(CommandError):
            call_command("mailbox", "forget", wrong, stdout=StringIO())


def test_a_mailbox_comes_first_and_its_removal_is_not_undone_by_what_was_learned() -> None:
    now = timezone.now()
    domain = make_domain("example.test", recipient_policy=RecipientPolicy.REJECT)
    LearnedAddress.objects.create(domain=domain, address="zoe@example.test", learned_at=now, confirmed_at=now)
    zoe = mailboxes.add("zoe@example.test", now=now)
    assert Directory.load().resolve("zoe@example.test").mailbox_id == zoe.pk
    mailboxes.remove(zoe, reason="left", now=now)
    assert Directory.load().resolve("zoe@example.test").kind is Kind.UNKNOWN


def test_people_may_write_to_a_learned_address() -> None:
    now = timezone.now()
    domain = make_domain("example.test", route=make_route(name="example.test", state="down"))
    LearnedAddress.objects.create(domain=domain, address="zoe@example.test", learned_at=now, confirmed_at=now)
    found = plan(to="zoe@example.test", cc="", bcc="", mailbox=make_mailbox("anna@example.test"))
    assert [one.fate for one in found.everybody] == [Fate.KEPT]
    assert not found.problems


def test_drains_that_learn_and_forget_the_same_addresses_at_once_all_get_through(
    caplog: pytest.LogCaptureFixture,
) -> None:
    domain = make_domain("example.test")
    deliveries = list(accept(domain, *(f"p{number}@example.test" for number in range(20))).deliveries.all())
    good = Result("", Phase.DOT, Outcome.DELIVERED, 250, "2.0.0", "kept")
    gone = Result("", Phase.RCPT, Outcome.PERMANENT, 550, "5.1.1", "gone")

    def drain_once(turn: int) -> None:
        try:
            half = [(one, gone if index % 3 == turn % 3 else good) for index, one in enumerate(deliveries)]
            learned.note(half if turn % 2 else reversed(half), now=timezone.now() + timedelta(hours=2 * turn))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(drain_once, range(24)))
    assert not caplog.records
    learned.note([(one, good) for one in deliveries], now=timezone.now())
    assert len(known()) == 20
