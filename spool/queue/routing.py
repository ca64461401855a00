"""The next hop of a delivery: which hosts, under which TLS policy, with which credentials. Dials nobody.

einbox looks up no MX: inbound mail goes to the route's hosts; outbound mail by the submission URL (default: the
same hosts), or by the smarthost while the route is not up.
"""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from accounts.crypto import unseal
from spool.enums import Direction, RouteState, TlsPolicy
from spool.models import Route
from spool.queue.schedule import OPEN_STATES
from spool.smtp.session import Endpoint, is_loopback

DEFAULT_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True)
class Hop:
    """Where a delivery goes next. `is_home`: the primary itself, so its answers are evidence of its health.

    `signs`: past the domain's own server, so nobody else signs for the domain (spool.queue.signing).
    """

    endpoints: tuple[Endpoint, ...]
    is_home: bool
    signs: bool = False


def hosts_of(route: Route) -> tuple[Endpoint, ...]:
    """The primary's hosts in order."""
    return tuple(Endpoint(host.host, host.port, tls=route.tls) for host in route.hosts.all())


def parse_url(url: str, *, tls: str, password: str = "") -> Endpoint:
    """An endpoint from smtp[s]://[user@]host[:port]. Credentials demand verified TLS except on loopback."""
    parts = urlsplit(url)
    host, user = parts.hostname or "", unquote(parts.username or "")
    implicit = parts.scheme == "smtps"
    if (user or implicit) and not is_loopback(host):
        tls = TlsPolicy.REQUIRED
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return Endpoint(host, port, tls=tls, implicit_tls=implicit, user=user, password=password)


def _password(sealed: bytes | memoryview | None, context: str) -> str:
    return unseal(bytes(sealed), context).decode() if sealed is not None else ""


def submission_of(route: Route) -> tuple[Endpoint, ...]:
    if not route.submission_url:
        return hosts_of(route)
    password = _password(route.submission_password, f"route-submission:{route.pk}")
    return (parse_url(route.submission_url, tls=route.tls, password=password),)


def smarthost_of(route: Route) -> tuple[Endpoint, ...]:
    if not route.smarthost_url:
        return ()
    password = _password(route.smarthost_password, f"route-smarthost:{route.pk}")
    return (parse_url(route.smarthost_url, tls=route.tls, password=password),)


def next_hop(route: Route, direction: Direction) -> Hop | None:
    """Where mail of this direction goes now; None: it waits (the route is not open, or a person holds it)."""
    is_open = RouteState(route.state) in OPEN_STATES
    if route.held:
        return None
    if direction is Direction.INBOUND:
        return Hop(hosts_of(route), is_home=True) if is_open else None
    if is_open:
        return Hop(submission_of(route), is_home=not route.submission_url)
    escape = smarthost_of(route)
    return Hop(escape, is_home=False, signs=True) if escape else None
