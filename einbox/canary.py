"""A canary: one message of our own on the real way home, from ingest through the drain to the primary's 250."""

import time
from datetime import datetime
from email.utils import format_datetime

from django.conf import settings
from django.db import connection, transaction

from einbox.finding import FAIL, OK, Finding
from spool.enums import DeliveryState, RouteState
from spool.ids import encode, new_id
from spool.models import Delivery, Domain
from spool.queue.ingest import Incoming, Recipient, store

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.25


def send(*, now: datetime) -> list[Finding]:
    """One canary to postmaster of every protected domain; waits until each is delivered or the time is up."""
    sent: dict[str, int] = {}
    findings = []
    for domain in Domain.objects.filter(is_drill=False).select_related("route"):
        if domain.route.state != RouteState.UP:
            findings.append(
                Finding(f"canary {domain}", FAIL, f"The server of {domain} is {domain.route.state}: not sent.")
            )
            continue
        sent[domain.name] = _store(domain, now)
    return findings + [_outcome(name, pk) for name, pk in sent.items()]


def _store(domain: Domain, now: datetime) -> int:
    to = f"postmaster@{domain.name}"
    tag = encode(new_id())
    raw = (
        f"From: einbox <{to}>\r\nTo: <{to}>\r\nSubject: einbox canary {tag}\r\n"
        f"Date: {format_datetime(now)}\r\nMessage-ID: <canary-{tag}@{settings.SMTP_HOSTNAME}>\r\n"
        "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
        "einbox tests that it can hand mail back to this server. Nothing to do.\r\n"
    ).encode("ascii")
    with transaction.atomic():  # the null reverse-path: no answer can come of it
        [stored] = store([Incoming(raw, (Recipient(to, domain.route_id),))], now=now)
    return stored.delivery_ids[0]


def _outcome(domain: str, delivery_id: int) -> Finding:
    started = time.monotonic()
    while True:
        delivery = Delivery.objects.get(pk=delivery_id)
        connection.close_if_unusable_or_obsolete()
        waited = time.monotonic() - started
        if delivery.state == DeliveryState.DELIVERED:
            return Finding(f"canary {domain}", OK, f"Delivered after {waited:.1f} s: {delivery.last_reply or '250'}.")
        if delivery.state == DeliveryState.REVIEW or waited > WAIT_SECONDS:
            why = delivery.last_reply or "no answer yet"
            return Finding(f"canary {domain}", FAIL, f"Not delivered after {waited:.0f} s ({delivery.state}: {why}).")
        time.sleep(LOOK_SECONDS)
