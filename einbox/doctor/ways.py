"""The ways mail takes: primaries, ways out, names and signatures. Asks servers and DNS, and sends no mail."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet

from accounts.crypto import DecryptionError
from einbox import signing_keys
from einbox.dns import mx
from einbox.dns.resolver import Resolver, system_servers
from einbox.finding import FAIL, OK, WARN, Finding
from spool.enums import TlsPolicy
from spool.models import Domain, Route
from spool.queue import domains, scope
from spool.queue.probe import Target, probe, target_of
from spool.queue.routing import smarthost_of, submission_of
from spool.queue.schedule import Evidence
from spool.smtp.client import ConnectError, Endpoint, Timers, connect
from spool.smtp.replies import Phase

PROBE_SECONDS = 5.0  # for each step


def _routes() -> QuerySet[Route]:
    return scope.routes().prefetch_related("hosts", "domains").filter(domains__is_drill=False).distinct()


def primaries(_now: datetime) -> Iterator[Finding]:
    routes = _routes()
    if not routes:
        yield Finding("domains", FAIL, "No domain is protected yet: `domain add NAME --primary HOST:PORT`.")
    for route in routes:
        target = target_of(route, helo=settings.SMTP_HOSTNAME, timeout=PROBE_SECONDS)
        for host in target.endpoints:
            yield _ask(route, host, target)
            if host.host in {"localhost", "127.0.0.1", "::1", os.uname().nodename}:
                sentence = f"{host} is this very machine: what takes it down takes einbox down."
                yield Finding(f"shared fate {route}", WARN, sentence)


def ways_out(_now: datetime) -> Iterator[Finding]:
    """Logs in where answers leave: the submission server, and the smarthost, which nobody uses before the day."""
    for route in _routes():
        if route.submission_url:
            yield _log_in(f"submission {route}", submission_of, route)
        if route.smarthost_url:
            yield _log_in(f"smarthost {route}", smarthost_of, route)


def _log_in(check: str, way_of: Callable[[Route], tuple[Endpoint, ...]], route: Route) -> Finding:
    try:
        [way] = way_of(route)
        connect(way, helo=settings.SMTP_HOSTNAME, timers=Timers(quit=1).capped(PROBE_SECONDS)).close()
    except DecryptionError:
        return Finding(check, FAIL, "Its password cannot be opened with the keys in use; set it again.")
    except ConnectError as error:
        return Finding(check, FAIL, f"{way} cannot be used ({_said(error)}); answers would wait there.")
    return Finding(check, OK, f"{way} takes our log-in." if way.user else f"{way} answers.")


def names(_now: datetime) -> Iterator[Finding]:
    protected = Domain.objects.filter(is_drill=False).order_by("name").values_list("name", flat=True)
    yield from mx.examine(settings.SMTP_HOSTNAME, list(protected), Resolver(system_servers()))


def signatures(_now: datetime) -> Iterator[Finding]:
    resolver = Resolver(system_servers())
    for domain in domains.listed():
        if not domain.is_drill:
            yield from signing_keys.examine(domain, resolver)


def _ask(route: Route, host: Endpoint, target: Target) -> Finding:
    """As the watch asks it, TLS included: a host that this refuses counts as down for ever."""
    evidence = probe(replace(target, endpoints=(host,)))
    if evidence.ok:
        return Finding(f"primary {route}", OK, f"{host} takes mail.")
    sentence = f"{host} does not take mail ({_said(evidence)})."
    if evidence.phase == Phase.STARTTLS and route.tls == TlsPolicy.REQUIRED:
        sentence += f" Its certificate must be valid for {host.host}; else `domain set NAME --tls opportunistic`."
    return Finding(f"primary {route}", FAIL, sentence)


def _said(failure: ConnectError | Evidence) -> str:
    """How far it came, and the reply if there was one."""
    code = f"{failure.code} " if failure.code else ""
    return f"{failure.phase}: {code}{failure.text}"
