"""Where a request comes from, as far as limits and the session registry need it. No database."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from django.http import HttpRequest

IPV6_PREFIX = 64  # what one customer gets at least


def network_of(ip: str | None) -> str:
    """The network that counts as one client: an IPv4 address, or the /64 of an IPv6 one; "" if unknown."""
    try:
        address = ip_address(ip or "")
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(ip_network((int(address), IPV6_PREFIX), strict=False))
        address = address.ipv4_mapped
    return f"{address}/32"


@dataclass(frozen=True)
class Client:
    """One browser: its network and what it calls itself."""

    network: str
    user_agent: str


def client_of(request: HttpRequest) -> Client:
    """`audit_ip` is set by audit.middleware from trusted proxies; without it the peer's address counts."""
    ip = getattr(request, "audit_ip", None) or request.META.get("REMOTE_ADDR")
    return Client(network_of(ip), request.headers.get("User-Agent", "")[:255])
