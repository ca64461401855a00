"""The true address and scheme of a client behind trusted proxies. Pure: no Django, no clock, no network.

A forwarded header is believed only as far as trusted proxies wrote it: entries are read from the right, since each
proxy appends what it saw, and the first address outside the trusted networks is the client (ASVS 4.1.3, 15.3.4).
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]


def parse_hop(text: str) -> Address | None:
    """An address as a proxy writes it: bare, `v4:port`, `[v6]` or `[v6]:port`. None when it is anything else."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_trusted(address: Address | None, trusted: Networks) -> bool:
    return address is not None and any(address in network for network in trusted if network.version == address.version)


def client_address(peer: str, forwarded_for: str, trusted: Networks) -> str | None:
    """The client's address; the peer's own unless the peer is trusted. None when even the peer is unknown.

    An entry that is no address ends the walk: the nearest trusted hop stands for whoever is behind it.
    """
    nearest = parse_hop(peer)
    if not is_trusted(nearest, trusted):
        return str(nearest) if nearest else None
    for entry in reversed(forwarded_for.split(",")):
        hop = parse_hop(entry)
        if hop is None:
            break
        nearest = hop
        if not is_trusted(hop, trusted):
            break
    return str(nearest)


def is_https(peer: str, forwarded_proto: str, trusted: Networks) -> bool:
    """Whether a trusted peer says that every hop it names was https; a single plain hop makes it plain."""
    schemes = [part.strip().lower() for part in forwarded_proto.split(",")]
    return is_trusted(parse_hop(peer), trusted) and all(scheme == "https" for scheme in schemes)
