"""Makes routes, domains, mailboxes, messages and deliveries as the product makes them."""

import itertools
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from spool.enums import MailboxKind, RouteState
from spool.models import Delivery, Domain, Mailbox, Message, Route, RouteHost
from spool.queue import ingest
from spool.queue.ingest import Incoming, Recipient

_number = itertools.count(1)

RAW = (
    b"From: Erika Example <erika@outside.test>\r\n"
    b"To: anna@example.test\r\n"
    b"Subject: Quarterly figures %d\r\n"
    b"Message-ID: <%d@outside.test>\r\n"
    b"\r\n"
    b"The figures are attached.\r\n"
)


def make_route(*, host: str = "127.0.0.1", port: int = 2500, **fields: Any) -> Route:
    """A route with one host; `state="down"` and the like as fields."""
    now = timezone.now()
    fields.setdefault("name", f"route{next(_number)}.test")
    fields.setdefault("state_since", now)
    if fields.get("state", RouteState.UP) == RouteState.UP:
        fields.setdefault("confirmed_at", now)
    route = Route.objects.create(**fields)
    RouteHost.objects.create(route=route, position=0, host=host, port=port)
    return route


def make_domain(name: str | None = None, *, route: Route | None = None, **fields: Any) -> Domain:
    name = name or f"example{next(_number)}.test"
    return Domain.objects.create(name=name, route=route or make_route(name=name), **fields)


def make_mailbox(address: str | None = None, **fields: Any) -> Mailbox:
    """A mailbox; its domain is made if it is not protected yet. `shared=True` for a shared one."""
    if address is None:
        domain = fields.pop("domain", None) or make_domain()
        address = f"person{next(_number)}@{domain.name}"
    else:
        name = address.rpartition("@")[2]
        domain = fields.pop("domain", None) or Domain.objects.filter(name=name).first() or make_domain(name)
    if fields.pop("shared", False):
        fields["kind"] = MailboxKind.SHARED
    return Mailbox.objects.create(address=address, domain=domain, **fields)


def make_raw() -> bytes:
    """A small message that no other call returns."""
    number = next(_number)
    return RAW % (number, number)


def make_message(
    raw: bytes | None = None,
    *,
    mailbox: Mailbox | None = None,
    mailboxes: tuple[Mailbox, ...] = (),
    recipients: tuple[Recipient, ...] | None = None,
    visible: bool = True,
    now: datetime | None = None,
    **envelope: Any,
) -> Message:
    """Store a message through ingest, addressed to `mailbox`, `mailboxes` or `recipients`; `envelope`: of Incoming."""
    if recipients is None:
        boxes = mailboxes or (mailbox or make_mailbox(),)
        recipients = tuple(
            Recipient(box.address, box.domain.route_id, mailbox_id=box.pk, visible=visible) for box in boxes
        )
    envelope.setdefault("reverse_path", "erika@outside.test")
    envelope.setdefault("peer", "192.0.2.7")
    incoming = Incoming(raw=make_raw() if raw is None else raw, recipients=recipients, **envelope)
    with transaction.atomic():
        [stored] = ingest.store([incoming], now=now or timezone.now())
    return Message.objects.get(pk=stored.message_id)


def make_delivery(
    *,
    raw: bytes | None = None,
    mailbox: Mailbox | None = None,
    message: Message | None = None,
    visible: bool = True,
    now: datetime | None = None,
    **fields: Any,
) -> Delivery:
    """One delivery (with a message of its own unless given); `fields` of Delivery are set as they are."""
    mailbox = mailbox or (None if message else make_mailbox())
    message = message or make_message(raw, mailbox=mailbox, visible=visible, now=now)
    deliveries = Delivery.objects.filter(message=message)
    delivery = (deliveries.filter(mailbox=mailbox) if mailbox else deliveries).order_by("pk").first()
    assert delivery is not None, "the message has no delivery for this mailbox"
    for name, value in fields.items():
        setattr(delivery, name, value)
    if fields:
        delivery.save()
    return delivery
