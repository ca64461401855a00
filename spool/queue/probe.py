"""One look at a primary: would it take mail now? Talks SMTP, sends nothing, touches no database.

Hosts are asked in order and the first good one decides. TCP, greeting, EHLO, STARTTLS by policy, MAIL and RCPT must
not fail in passing: a refusal with 4xx is bad. A 5xx to MAIL or RCPT is good, for the host decides about mail;
whatever it refuses of ours waits for a person, and a burst of refusals stops the drain.
"""

import time
from dataclasses import dataclass

from spool.models import Route
from spool.queue.routing import hosts_of
from spool.queue.schedule import Evidence
from spool.smtp.client import ConnectError, Endpoint, Timers, connect
from spool.smtp.replies import Outcome, Phase


@dataclass(frozen=True)
class Target:
    """What to ask, read from the database beforehand."""

    route_id: int
    endpoints: tuple[Endpoint, ...]
    domain: str
    helo: str
    timeout: float  # seconds for each step


def target_of(route: Route, *, helo: str, timeout: float) -> Target:
    """Reads hosts and a domain of `route` (prefetch them)."""
    domains = sorted(domain.name for domain in route.domains.all())
    return Target(route.pk, hosts_of(route), domains[0] if domains else route.name, helo, timeout)


def probe(target: Target) -> Evidence:
    """Never raises. `milliseconds` is the time until the deciding answer."""
    latest = Evidence(ok=False, host="", text="the route has no host")
    for endpoint in target.endpoints:
        latest = _probe_host(target, endpoint)
        if latest.ok:
            break
    return latest


def _probe_host(target: Target, endpoint: Endpoint) -> Evidence:
    started = time.monotonic()
    timers = Timers(quit=1).capped(target.timeout)
    try:
        connection = connect(endpoint, helo=target.helo, timers=timers)
    except ConnectError as error:
        return Evidence(False, str(endpoint), error.phase.value, error.code, error.text, _since(started))
    try:
        result = connection.verify("", f"postmaster@{target.domain}")
        milliseconds = _since(started)
    finally:
        connection.close()
    good = result.outcome in (Outcome.DELIVERED, Outcome.PERMANENT)
    phase = Phase.RCPT if good else result.phase
    return Evidence(good, str(endpoint), phase.value, result.code, result.text, milliseconds)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
