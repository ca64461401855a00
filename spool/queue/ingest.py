"""From accepted octets to rows: message, deliveries, and merges of a sender's retry.

`prepare` is slow and needs no transaction; `store` is quick and runs inside the caller's. Mail that came by SMTP
and mail written here take the same way. Decides nothing about who may send to whom.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from audit.escape import UNSTORABLE
from spool.enums import Direction
from spool.ids import new_id
from spool.mime.headers import ListColumns, scan
from spool.models import ContentChunk, Delivery, MergedAcceptance, Message
from spool.queue import content, earlier
from spool.queue.earlier import Earlier, Key
from spool.queue.rows import Row, Table

MERGE_WINDOW = timedelta(days=5)  # for so long a sender repeats a message (RFC 5321 section 4.5.4.1)
PATH_LENGTH = 320
# fmt: off
MESSAGES = Table(
    Message, "id", "accepted_at", "author_id", "author_mailbox_id", "in_reply_to_id", "reverse_path", "peer", "helo",
    "tls", "smtputf8", "body_8bit", "size", "content_hash", "content_key", "content", "content_file", "message_id",
    "subject", "from_name", "from_address",
)
DELIVERIES = Table(
    Delivery, "id", "message_id", "forward_path", "direction", "mailbox_id", "unknown_recipient", "route_id",
    "outage_id", "created_at", "visible_at", "next_attempt_at", "expires_at",
)
# fmt: on
CHUNKS = Table(ContentChunk, "message_id", "position", "data")
MERGES = Table(MergedAcceptance, "delivery_id", "accepted_at", "peer")


class Recipient(NamedTuple):
    """One forward-path and where it leads. `visible`: set visible_at at once (its route is not up)."""

    forward_path: str
    route_id: int
    mailbox_id: int | None = None
    unknown: bool = False
    direction: Direction = Direction.INBOUND
    visible: bool = False


class Incoming(NamedTuple):
    """One accepted message with its envelope; `raw` is never changed."""

    raw: bytes
    recipients: tuple[Recipient, ...]
    reverse_path: str = ""
    peer: str | None = None
    helo: str = ""
    tls: str = ""
    smtputf8: bool = False
    body_8bit: bool = False
    author_id: int | None = None
    author_mailbox_id: int | None = None
    in_reply_to_id: int | None = None
    columns: ListColumns | None = None  # if the caller has scanned the headers already

    def __reduce__(self) -> tuple[type["Incoming"], tuple[object, ...]]:
        """To another process it goes sealed, as part of a Ready: without what stands there already."""
        return Incoming, (b"", *self[1:-1])


class Ready(NamedTuple):
    """An Incoming whose content is sealed and in its home."""

    incoming: Incoming
    content: content.Prepared
    columns: ListColumns


class Stored(NamedTuple):
    """What became of one Incoming: rows made, and deliveries that it merged into."""

    message_id: int
    delivery_ids: tuple[int, ...] = ()
    merged_ids: tuple[int, ...] = ()


@dataclass
class _Rows:
    """Rows of one batch, written together. `outages`: the open one of each route, by its id."""

    outages: dict[int, int]
    messages: list[Row] = field(default_factory=list)
    deliveries: list[Row] = field(default_factory=list)
    chunks: list[Row] = field(default_factory=list)
    merges: list[Row] = field(default_factory=list)

    def insert(self) -> None:
        MESSAGES.insert(self.messages)
        DELIVERIES.insert(self.deliveries)
        CHUNKS.insert(self.chunks)
        MERGES.insert(self.merges)


def prepare(incoming: Incoming) -> Ready:
    """Seal the content and read the list columns. Slow; never raises on bad mail."""
    sealed = content.prepare(incoming.raw, new_id())
    return Ready(incoming, sealed, incoming.columns or scan(incoming.raw))


def store(batch: Sequence[Incoming | Ready], *, now: datetime) -> list[Stored]:
    """Write the rows of `batch` inside the caller's transaction; results in the same order.

    A retry (same content, reverse-path and forward-path within MERGE_WINDOW) becomes a MergedAcceptance, but not of
    what was removed, bounced or expired: its 250 would promise what nobody does.
    Raises what the database raises.
    """
    ready = [item if isinstance(item, Ready) else prepare(item) for item in batch]
    # Mail written here never repeats.
    digests = {item.content.digest for item in ready if item.incoming.author_id is None}
    known = earlier.messages(digests, since=now - MERGE_WINDOW)
    routes = {recipient.route_id for item in ready for recipient in item.incoming.recipients}
    rows = _Rows(outages=earlier.open_outages(routes))
    results = [_place(item, known, rows, now) for item in ready]
    rows.insert()
    made = {row[0] for row in rows.messages}
    surplus = [item.content for item in ready if item.content.message_id not in made]
    if surplus:
        transaction.on_commit(lambda: _discard(surplus))
    return results


def _discard(surplus: Iterable[content.Prepared]) -> None:
    for prepared in surplus:
        content.discard(prepared)


def _key(item: Ready) -> Key:
    return item.content.digest, item.incoming.reverse_path.lower()


def _place(item: Ready, known: dict[Key, list[Earlier]], rows: _Rows, now: datetime) -> Stored:
    """Spread the recipients of one item over merges, an earlier message, or a message of its own."""
    incoming = item.incoming
    candidates = known[_key(item)] if incoming.author_id is None else []
    merged: list[int] = []
    fresh: dict[str, Recipient] = {}
    for path, recipient in {each.forward_path.lower(): each for each in incoming.recipients}.items():
        merges = (one for one in candidates if path in one.deliveries and path not in one.given_up)
        twin = next((one.deliveries[path] for one in merges), None)
        if twin is None:
            fresh[path] = recipient
        else:
            merged.append(twin)
            rows.merges.append((twin, now, incoming.peer))
    home = next((one for one in candidates if not one.purged and not one.deliveries.keys() & fresh.keys()), None)
    if home is None and not fresh:
        return Stored(candidates[0].message_id if candidates else item.content.message_id, (), tuple(merged))
    if home is None:
        home = Earlier(item.content.message_id)
        candidates.append(home)
        rows.messages.append(_message(item, now))
        rows.chunks += _chunks(item)
    made = {path: new_id() for path in fresh}
    expires = now + timedelta(days=settings.EXPIRY_DAYS)
    for path, pk in made.items():
        rows.deliveries.append(_delivery(pk, home.message_id, fresh[path], rows.outages, now, expires))
    home.deliveries |= made
    return Stored(home.message_id, tuple(made.values()), tuple(merged))


def storable(text: str, length: int) -> str:
    """`text` without what no database stores (NUL, surrogates); empty if it is longer than `length`."""
    if not text.isprintable():  # what is printable holds neither
        text = UNSTORABLE.sub("", text)
    return text if len(text) <= length else ""


def _message(item: Ready, now: datetime) -> Row:
    """The values of MESSAGES, in its order."""
    incoming, sealed, columns = item.incoming, item.content, item.columns
    return (
        sealed.message_id,
        now,
        incoming.author_id,
        incoming.author_mailbox_id,
        incoming.in_reply_to_id,
        incoming.reverse_path,
        incoming.peer,
        storable(incoming.helo, 255),
        storable(incoming.tls, 64),
        incoming.smtputf8,
        incoming.body_8bit,
        sealed.size,
        sealed.digest,
        sealed.wrapped_key,
        sealed.inline,
        sealed.file,
        storable(columns.message_id, 255),
        storable(columns.subject, 255),
        storable(columns.from_name, 255),
        storable(columns.from_address, PATH_LENGTH),
    )


def _chunks(item: Ready) -> list[Row]:
    return [(item.content.message_id, position, data) for position, data in enumerate(item.content.chunks)]


def _delivery(
    pk: int, message_id: int, recipient: Recipient, outages: dict[int, int], now: datetime, expires: datetime
) -> Row:
    """The values of DELIVERIES, in its order."""
    return (
        pk,
        message_id,
        recipient.forward_path,
        recipient.direction.value,
        recipient.mailbox_id,
        recipient.unknown,
        recipient.route_id,
        outages.get(recipient.route_id),
        now,
        now if recipient.visible else None,
        now,
        expires,
    )
