"""Storing accepted mail: rows, merges of a sender's retry, values that no database stores."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from spool.enums import FINISHED, DeliveryState
from spool.mime.headers import scan
from spool.models import Delivery, MergedAcceptance, Message
from spool.queue import content, files, ingest
from spool.queue.ingest import Incoming, Recipient, Stored
from tests.factories.spool import make_mailbox, make_raw
from tests.fuzz.mail import NAMES, VALUE_TOKENS

pytestmark = pytest.mark.django_db

NOW = timezone.now()
SHOWN = ("message_id", "subject", "from_name", "from_address")


def incoming(*addresses: str, raw: bytes | None = None, visible: bool = True) -> Incoming:
    boxes = [make_mailbox(address) for address in addresses]
    recipients = tuple(Recipient(box.address, box.domain.route_id, box.pk, visible=visible) for box in boxes)
    return Incoming(raw or make_raw(), recipients, reverse_path="erika@outside.test", peer="192.0.2.7")


def store(*batch: Incoming, now: object = NOW) -> list[Stored]:
    with transaction.atomic():
        return ingest.store(batch, now=now)  # type: ignore[arg-type]


def test_a_message_is_stored_with_a_delivery_for_each_recipient() -> None:
    item = incoming("anna@example.test", "ben@example.test")
    [stored] = store(item)
    message = Message.objects.get(pk=stored.message_id)
    assert content.read(message) == item.raw
    assert bytes(message.content or b"") != item.raw
    assert message.subject.startswith("Quarterly figures")
    assert (message.from_name, message.from_address) == ("Erika Example", "erika@outside.test")
    assert sorted(message.deliveries.values_list("forward_path", flat=True)) == [
        "anna@example.test",
        "ben@example.test",
    ]
    delivery = message.deliveries.get(forward_path="anna@example.test")
    assert delivery.visible_at == NOW
    assert delivery.expires_at == NOW + timedelta(days=settings.EXPIRY_DAYS)


def test_mail_for_a_healthy_route_is_hidden_at_first() -> None:
    [stored] = store(incoming("anna@example.test", visible=False))
    assert Delivery.objects.get(message=stored.message_id).visible_at is None


def test_a_retry_is_merged_into_the_first_delivery() -> None:
    item = incoming("anna@example.test")
    [first] = store(item)
    [second] = store(item._replace(peer="2001:db8::1"), now=NOW + timedelta(days=4))
    assert second == Stored(first.message_id, (), first.delivery_ids)
    assert (Message.objects.count(), Delivery.objects.count()) == (1, 1)
    merge = MergedAcceptance.objects.get()
    assert (merge.delivery_id, merge.peer) == (first.delivery_ids[0], "2001:db8::1")


@pytest.mark.parametrize("state", sorted(set(FINISHED) - {DeliveryState.DELIVERED}))
def test_what_nobody_got_is_no_place_to_merge_into(state: str) -> None:
    """Its 250 would be a promise that was broken before it was given."""
    item = incoming("anna@example.test", "ben@example.test")
    [first] = store(item)
    gone, kept = first.delivery_ids
    Delivery.objects.filter(pk=gone).update(state=state, finished_at=NOW)
    [again, third] = store(item, item)
    assert again.message_id != first.message_id
    assert Delivery.objects.get(pk=again.delivery_ids[0]).forward_path == "anna@example.test"
    assert (len(again.delivery_ids), again.merged_ids) == (1, (kept,))
    assert (third.delivery_ids, set(third.merged_ids)) == ((), {again.delivery_ids[0], kept})
    assert store(item)[0].delivery_ids == ()
    Delivery.objects.filter(pk=gone).update(state=DeliveryState.DELIVERED)
    assert gone in store(item)[0].merged_ids


def test_a_retry_in_the_same_batch_is_merged() -> None:
    item = incoming("anna@example.test")
    first, second = store(item, item)
    assert second.merged_ids == first.delivery_ids
    assert Message.objects.count() == 1


@pytest.mark.parametrize(
    "change", [{"reverse_path": "other@outside.test"}, {"raw": b"Subject: other\r\n\r\n"}, {"author_id": None}]
)
def test_another_sender_or_content_is_another_message(change: dict[str, object]) -> None:
    item = incoming("anna@example.test")
    store(item)
    if "author_id" in change:
        store(item, now=NOW + timedelta(days=6))  # past the window
    else:
        store(item._replace(**change))  # type: ignore[arg-type]
    assert (Message.objects.count(), MergedAcceptance.objects.count()) == (2, 0)


def test_a_retry_with_a_new_recipient_joins_the_message() -> None:
    item = incoming("anna@example.test", "ben@example.test")
    [first] = store(item._replace(recipients=item.recipients[:1]))
    [second] = store(item)
    assert second.message_id == first.message_id
    assert second.merged_ids == first.delivery_ids
    assert len(second.delivery_ids) == 1
    assert Message.objects.count() == 1


def test_a_new_recipient_of_an_erased_message_gets_a_message_of_its_own() -> None:
    item = incoming("anna@example.test", "ben@example.test")
    [first] = store(item._replace(recipients=item.recipients[:1]))
    content.erase(Message.objects.all(), now=NOW)
    [second] = store(item)
    assert second.merged_ids == first.delivery_ids
    assert second.message_id != first.message_id
    assert content.read(Message.objects.get(pk=second.message_id)) == item.raw


def test_large_content_of_a_merged_retry_leaves_no_file(django_capture_on_commit_callbacks: object) -> None:
    item = incoming("anna@example.test", raw=b"Subject: large\r\n\r\n" + b"x" * 70_000)
    [stored] = store(item)
    before = set(files.older_than(-10))
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        store(item)
    assert set(files.older_than(-10)) == before
    assert Message.objects.get(pk=stored.message_id).content_file in before


def test_a_message_for_nobody_known_is_stored_without_mailbox() -> None:
    item = incoming("anna@example.test")
    recipient = item.recipients[0]._replace(mailbox_id=None, unknown=True)
    [stored] = store(item._replace(recipients=(recipient,)))
    delivery = Delivery.objects.get(message=stored.message_id)
    assert (delivery.mailbox, delivery.unknown_recipient) == (None, True)


# Fields whose values are made of what odd mail is made of (tests/fuzz/mail.py).
value = st.lists(st.sampled_from(VALUE_TOKENS), min_size=1, max_size=20).map(b"".join)
headers = value.map(lambda value: value + b"".join(b"\r\n" + name + b": " + value for name in NAMES))


@hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=400) | headers, helo=st.text(max_size=300))
def test_any_octets_can_be_stored_and_read_back(raw: bytes, helo: str) -> None:
    with transaction.atomic():
        item = incoming(f"a{Message.objects.count()}x@example.test", raw=b"From: " + raw)
        [stored] = ingest.store([item._replace(helo=helo)], now=NOW)
        message = Message.objects.get(pk=stored.message_id)
        assert content.read(message) == b"From: " + raw
        # Nothing that is shown was lost because the database refused it.
        columns = scan(b"From: " + raw)
        assert [getattr(message, name) for name in SHOWN] == [getattr(columns, name) for name in SHOWN]
        transaction.set_rollback(True)
