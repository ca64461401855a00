"""Who may send to whom: the decision at RCPT, from memory (design: "In"). Reads no database, knows no sockets.

Order: grammar, relaying, a healthy primary, the recipient. Every doubt is a 4xx.
"""

from collections import OrderedDict
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

from spool.enums import RecipientPolicy, RouteState, WhileUp
from spool.queue.addresses import POSTMASTER, AddressError, Directory, Kind, Resolution
from spool.queue.ingest import Recipient
from spool.smtpd import replies
from spool.smtpd.limits import Limits
from spool.smtpd.replies import Reply
from spool.smtpd.view import RouteView, View

REMEMBERED = 50_000  # envelopes put off
FORGET_AFTER = 86_400.0  # seconds
PROBED = (RouteState.UP, RouteState.SUSPECT)  # a tuple: the hash of an Enum costs more than two looks


@lru_cache(maxsize=4096)
def network(peer: str, *, v4: int = 24, v6: int = 64) -> str:
    """The network of a client: a sender's pool of machines often shares one. Unreadable peers share ""."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    bits = v6 if isinstance(address, IPv6Address) else v4
    return str(ip_network((address, bits), strict=False))


class PutOff:
    """Remembers which envelopes were put off, and since when. One per process, bounded, lost at a restart."""

    def __init__(self, *, size: int = REMEMBERED) -> None:
        self._size = size
        self._first: OrderedDict[bytes, float] = OrderedDict()

    def seconds(self, client: str, reverse_path: str, forward_path: str, now: float) -> float:
        """For how long this envelope has been put off; remembers it if it is new."""
        mark = f"{client}\x00{reverse_path.lower()}\x00{forward_path.lower()}"
        key = blake2b(mark.encode("utf-8", "replace"), digest_size=16).digest()
        first = self._first.get(key)
        if first is None or now - first > FORGET_AFTER:
            self._first[key] = now
            self._first.move_to_end(key)
            if len(self._first) > self._size:
                self._first.popitem(last=False)
            return 0.0
        return now - first


class Verdict(NamedTuple):
    """The reply to RCPT, the recipient if it is taken, and the route whose primary should be looked at now."""

    reply: Reply
    recipient: Recipient | None = None
    probe_route_id: int | None = None


class Sender(NamedTuple):
    """Where a transaction comes from: the client's network and its reverse-path."""

    network: str
    reverse_path: str


def decide(view: View, forward_path: str, sender: Sender, *, put_off: PutOff, limits: Limits, now: float) -> Verdict:
    """The verdict for one forward-path. `now` is Unix time."""
    try:
        resolution = _resolve(view.directory, forward_path)
    except AddressError:
        return Verdict(replies.FOREIGN if _relaying(forward_path) else replies.BAD_RECIPIENT)
    if resolution.domain is None:
        return Verdict(replies.FOREIGN)
    route = view.routes.get(resolution.domain.route_id)
    if route is None:
        return Verdict(replies.UNSURE)
    healthy = route.healthy(now, within=limits.confirmed_within)
    probe = route.id if route.state in PROBED else None
    if healthy and resolution.domain.while_up == WhileUp.DEFER:
        waited = put_off.seconds(sender.network, sender.reverse_path, resolution.forward_path, now)
        if waited < limits.return_after:
            return Verdict(replies.PRIMARY_UP, probe_route_id=probe)
    reply, recipient = _by_policy(resolution, route, visible=not healthy)
    return Verdict(reply, recipient, probe)


def _resolve(directory: Directory, forward_path: str) -> Resolution:
    if forward_path.lower() == POSTMASTER and directory.domains:  # RFC 5321 section 4.5.1
        forward_path = f"{POSTMASTER}@{min(directory.domains)}"
    return directory.resolve(forward_path)


def _relaying(forward_path: str) -> bool:
    """Whether what is not an address names a second place to go."""
    return forward_path.count("@") > 1 or "!" in forward_path or "%" in forward_path


def _by_policy(resolution: Resolution, route: RouteView, *, visible: bool) -> tuple[Reply, Recipient | None]:
    path, mailbox_id = resolution.forward_path, resolution.mailbox_id
    if resolution.kind is Kind.MAILBOX:
        return replies.RECIPIENT_OK, Recipient(path, route.id, mailbox_id, visible=visible)
    policy = RecipientPolicy.ACCEPT if resolution.postmaster else resolution.policy
    refusing = policy in {RecipientPolicy.REJECT, RecipientPolicy.DEFER}
    if refusing and resolution.kind is Kind.LEARNED:  # waits without a mailbox and goes home
        return replies.RECIPIENT_OK, Recipient(path, route.id, visible=visible)
    if policy == RecipientPolicy.REJECT:
        return replies.UNKNOWN, None
    if policy == RecipientPolicy.DEFER:
        return replies.UNKNOWN_PUT_OFF, None
    dropbox_id = resolution.domain.dropbox_id if resolution.domain and policy == RecipientPolicy.DROPBOX else None
    return replies.RECIPIENT_OK, Recipient(path, route.id, dropbox_id, unknown=True, visible=visible)
