"""Safety copies live as long as promised, then leave nothing."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from audit.models import Event
from audit.tags import Tag
from spool.enums import DeliveryState
from spool.models import Delivery, Message, MessageText
from spool.queue import content, files, parsing
from spool.queue.purge import purge
from tests.factories.spool import make_mailbox, make_message, make_raw

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now()
SAFETY = timedelta(hours=settings.SAFETY_COPY_HOURS)


def finish(message: Message, state: DeliveryState, *, ago: timedelta) -> None:
    message.deliveries.update(state=state, finished_at=NOW - ago)


def stored(*, size: int = 0) -> Message:
    return make_message(make_raw() + b"x" * size + b"\r\n", now=NOW - timedelta(days=90))


@pytest.mark.parametrize("size", [0, 100_000])
def test_content_key_text_and_file_go_and_the_row_stays(size: int) -> None:
    message = stored(size=size)
    parsing.load(message)
    name = message.content_file
    assert bool(name) is bool(size)
    finish(message, DeliveryState.DELIVERED, ago=SAFETY + timedelta(minutes=1))
    assert purge(now=NOW) == 1
    message.refresh_from_db()
    assert (message.content, message.content_key, message.content_file) == (None, None, "")
    assert message.purged_at == NOW
    assert not MessageText.objects.exists()
    assert not name or not (files.root() / name).exists()
    with pytest.raises(content.ContentGone):
        content.read(message)
    event = Event.objects.get(tag=Tag.BATCH_PURGED.value)
    assert (event.detail["count"], event.detail["first"]) == (1, message.public_id)
    assert purge(now=NOW) == 0


@pytest.mark.parametrize(
    ("state", "ago", "kept"),
    [
        (DeliveryState.DELIVERED, SAFETY - timedelta(minutes=1), True),
        (DeliveryState.REMOVED, SAFETY + timedelta(days=1), True),
        (DeliveryState.REMOVED, timedelta(days=31), False),
        (DeliveryState.BOUNCED, timedelta(days=29), True),
    ],
)
def test_what_may_still_be_needed_is_kept(state: DeliveryState, ago: timedelta, kept: bool) -> None:
    finish(stored(), state, ago=ago)
    assert purge(now=NOW) == (0 if kept else 1)


@pytest.mark.parametrize("state", [DeliveryState.QUEUED, DeliveryState.REVIEW])
def test_one_unfinished_recipient_keeps_the_content(state: DeliveryState) -> None:
    boxes = make_mailbox(), make_mailbox()
    message = make_message(mailboxes=boxes, now=NOW - timedelta(days=90))
    finish(message, DeliveryState.DELIVERED, ago=timedelta(days=60))
    last = message.deliveries.order_by("pk").last()
    assert last
    Delivery.objects.filter(pk=last.pk).update(state=state, finished_at=None)
    assert purge(now=NOW) == 0
