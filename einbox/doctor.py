"""What would fail on the day: each check answers ok, warn or fail with one sentence. Reads, and changes nothing."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection
from django.db.models import Count, Max, Min, QuerySet

from accounts.crypto import DecryptionError, key_id_of, unseal
from accounts.enums import Role
from accounts.models import TOTPDevice, User
from audit.models import Event
from audit.tags import Tag
from audit.verification import standing
from einbox import recovery_sheet, rotation, signing_keys
from einbox.database import weak_settings
from einbox.dns import mx
from einbox.dns.resolver import Resolver, system_servers
from einbox.finding import FAIL, OK, WARN, Finding
from einbox.health import ONE_BY_ONE, readiness, silent
from einbox.sealed import lacking
from einbox.settings import is_loopback
from einbox.webserver import answers
from spool.enums import UNFINISHED, MailboxKind, RouteState, TlsPolicy
from spool.models import Delivery, Domain, Heartbeat, Mailbox, Route
from spool.queue import domains, scope
from spool.queue.expiry import EXPIRES_SOON
from spool.queue.probe import Target, probe, target_of
from spool.queue.routing import smarthost_of, submission_of
from spool.queue.schedule import Evidence
from spool.smtp.client import ConnectError, Endpoint, Timers, connect
from spool.smtp.replies import Phase
from spool.smtpd.limits import Limits

DISK_COMFORT = 5 * 2**30
CERTIFICATE_WARNS = timedelta(days=21)
DRILL_EVERY = timedelta(days=90)
BACKUP_EVERY = timedelta(days=7)
VERIFY_EVERY = timedelta(hours=1)  # the watch does it every few minutes
QUEUE_OLD = timedelta(hours=4)  # while the route is up
CLOCK_SLACK = timedelta(minutes=1)
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)  # a clock before this was never set
PROBE_SECONDS = 5.0  # for each step


Check = Callable[[datetime], Iterator[Finding]]


def examine(*, now: datetime) -> list[Finding]:
    """Every finding, in the order in which one would mend them."""
    checks: tuple[Check, ...] = (
        _processes,
        _durability,
        _keys,
        _sealed,
        _clock,
        _disk,
        _certificates,
        _primaries,
        _ways_out,
        _names,
        _signatures,
        _people,
        _history,
        _queue,
    )
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check(now)
        except DatabaseError as error:
            findings.append(Finding(check.__name__.strip("_"), FAIL, f"The database cannot be asked ({error})."))
    return findings


def _processes(now: datetime) -> Iterator[Finding]:
    words = {"ok": OK, "degraded": WARN, "failed": FAIL}
    parts = readiness(now=now)
    parts.pop("audit")  # told with its cause by _chain
    yield _pages()
    signs: dict[str, datetime] = {}
    if parts["database"] == "ok":
        signs = dict(Heartbeat.objects.order_by().values_list("service").annotate(at=Max("at")))
    for name, state in parts.items():
        sentence = f"{name} answers." if state == "ok" else f"{name} does not answer; is `manage.py up` running?"
        if name in signs:
            sentence = _last_sign(name, state, signs[name], now)
        if name == "broker" and settings.BROKER_URL.startswith("memory:"):
            sentence = "The broker is part of the worker (memory://): there is none to ask."
        yield Finding(f"process {name}", words[state], sentence)


def _last_sign(service: str, state: str, at: datetime, now: datetime) -> str:
    sentence = f"{service} gave its last sign of life {max(0.0, (now - at).total_seconds()):,.0f} s ago"
    if state == "ok":
        return f"{sentence}."
    hanging = [f"{name} none for {ago.total_seconds():,.0f} s" for name, ago in silent(service, now=now)]
    if state == "degraded" and hanging and service in ONE_BY_ONE:
        return f"{sentence}, but {', '.join(hanging)}: it hangs, does no work, or was killed with its machine."
    return f"{sentence}: it does not run, or does not do its work."


def _pages() -> Finding:
    said = answers(settings.WEB, tls=bool(settings.TLS_CERT), host=settings.PUBLIC_HOST, within=PROBE_SECONDS)
    if said is None:
        return Finding("process web", FAIL, f"Nothing answers on {settings.WEB}; is `manage.py up` running?")
    if said != "ok":
        return Finding(
            "process web", FAIL, f"What answers on {settings.WEB} is not einbox, or refuses itself ({said})."
        )
    return Finding("process web", OK, f"The pages answer on {settings.WEB}.")


def _durability(_now: datetime) -> Iterator[Finding]:
    weak = list(weak_settings(connection))
    if weak:
        sentence = f"The database may lose committed mail in a power cut: {', '.join(weak)} must be on."
        yield Finding("durability", FAIL, sentence)
    else:
        yield Finding("durability", OK, "What is committed is on the disk.")


def _keys(_now: datetime) -> Iterator[Finding]:
    confirmed = recovery_sheet.confirmation()
    if confirmed is None:
        sentence = "Nobody has confirmed a copy of the keys: print `keys show`, lock it away, then `keys confirm`."
        yield Finding("keys copy", FAIL, sentence)
    else:
        yield Finding("keys copy", OK, f"{confirmed.by} confirmed a copy on {confirmed.at:%Y-%m-%d}.")
    folder = Path(settings.HOME) / "keys"
    loose = [path.name for path in folder.glob("*") if path.stat().st_mode & 0o077] if folder.is_dir() else []
    if loose:
        yield Finding("keys files", FAIL, f"Others on this machine can read {', '.join(loose)}; set mode 0600.")


def _sealed(_now: datetime) -> Iterator[Finding]:
    """Opens the newest and the oldest value of each kind: by these ends a missing or wrong key shows."""
    missing: set[str] = set()
    broken: list[str] = []
    for model, field, context in rotation.SEALED:
        filled: QuerySet[Any] = QuerySet(model).filter(**{f"{field}__isnull": False}).values_list("pk", field)
        for pk, value in dict([*filled.order_by("pk")[:1], *filled.order_by("-pk")[:1]]).items():
            try:
                unseal(value, f"{context}:{pk}")
            except DecryptionError:
                if (key := key_id_of(value)) in settings.FIELD_KEYS:
                    broken.append(f"{model.__name__} {pk} ({key})")
                else:
                    missing.add(key)
    if missing:
        yield Finding("keys sealed", FAIL, lacking(missing))
    if broken:
        sentence = f"Altered, or sealed under another key of the same id: {', '.join(broken)}."
        yield Finding("keys sealed", FAIL, sentence)
    if not missing and not broken:
        yield Finding("keys sealed", OK, "What was sealed can be opened with the keys in use.")


def _clock(now: datetime) -> Iterator[Finding]:
    latest = Event.objects.aggregate(at=Max("at"))["at"]
    if now < EARLIEST:
        yield Finding("clock", FAIL, f"The clock says {now:%Y-%m-%d}; set it, codes and retry times depend on it.")
    elif latest and latest - now > CLOCK_SLACK:
        yield Finding("clock", FAIL, f"The log holds an event of {latest:%Y-%m-%d %H:%M} UTC: the clock went back.")
    else:
        yield Finding("clock", OK, f"The clock says {now:%Y-%m-%d %H:%M} UTC and agrees with the log.")


def _disk(_now: datetime) -> Iterator[Finding]:
    needed = Limits.from_settings().room
    for name, place in {
        "state directory": Path(settings.HOME),
        "content storage": Path(default_storage.path("")),
    }.items():
        there = next(path for path in (place, *place.parents) if path.exists())
        free = shutil.disk_usage(there).free
        state = FAIL if free < needed else WARN if free < DISK_COMFORT else OK
        yield Finding(f"disk {name}", state, f"{free / 2**30:.1f} GiB free for the {name}.")


def _certificates(now: datetime) -> Iterator[Finding]:
    for name, path, address in (("web", settings.TLS_CERT, settings.WEB), ("smtp", settings.SMTP_CERT, settings.SMTP)):
        if path:
            yield _certificate(name, Path(path), now)
        elif name == "smtp" and not is_loopback(address):
            yield Finding("tls smtp", WARN, "Mail comes in without STARTTLS: set EINBOX_SMTP_CERT and EINBOX_SMTP_KEY.")


def _certificate(name: str, path: Path, now: datetime) -> Finding:
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except OSError as error:
        return Finding(f"tls {name}", FAIL, f"{path} cannot be read ({os.strerror(error.errno or 0)}).")
    except ValueError:
        return Finding(f"tls {name}", FAIL, f"{path} holds no certificate in PEM form.")
    state = FAIL if ends <= now else WARN if ends - now < CERTIFICATE_WARNS else OK
    return Finding(f"tls {name}", state, f"The certificate is valid until {ends:%Y-%m-%d %H:%M} UTC.")


def _routes() -> QuerySet[Route]:
    return scope.routes().prefetch_related("hosts", "domains").filter(domains__is_drill=False).distinct()


def _primaries(_now: datetime) -> Iterator[Finding]:
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


def _ways_out(_now: datetime) -> Iterator[Finding]:
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


def _names(_now: datetime) -> Iterator[Finding]:
    names = Domain.objects.filter(is_drill=False).order_by("name").values_list("name", flat=True)
    yield from mx.examine(settings.SMTP_HOSTNAME, list(names), Resolver(system_servers()))


def _signatures(_now: datetime) -> Iterator[Finding]:
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


def _people(_now: datetime) -> Iterator[Finding]:
    people = User.objects.filter(is_active=True, is_drill=False)
    ready = set(TOTPDevice.objects.filter(user__in=people, confirmed=True).values_list("user_id", flat=True))
    total, with_factor = people.count(), len(ready)
    admins = people.filter(role=Role.ADMIN, pk__in=ready).count()
    if not admins:
        yield Finding("admins", FAIL, "No admin can log in: `user add EMAIL --role admin` and use the link it prints.")
    state = OK if total and with_factor == total else WARN
    sentence = f"{with_factor} of {total} people have a second factor"
    yield Finding("people", state, sentence + ("." if state == OK else "; the others cannot log in: `user list`."))
    for address in _unread():
        sentence = f"Nobody reads {address}: `mailbox member {address} EMAIL`."
        yield Finding("shared mailbox", WARN, sentence)
    if demo := people.filter(is_demo=True).count():
        yield Finding("demo", WARN, f"{demo} demo accounts: this installation only listens on this machine.")


def _unread() -> Iterator[str]:
    """Shared mailboxes that can receive mail and have no member who can log in."""
    shared = Mailbox.objects.filter(kind=MailboxKind.SHARED, is_active=True, domain__is_drill=False)
    yield from shared.exclude(members__user__is_active=True).order_by("address").values_list("address", flat=True)


def _history(now: datetime) -> Iterator[Finding]:
    yield _age("drill", Tag.DRILL_ENDED, DRILL_EVERY, now, "No drill yet: run `make drill` or `manage.py drill`.")
    yield _age("backup", Tag.BACKUP_MADE, BACKUP_EVERY, now, "No backup yet: `manage.py backup DIR`.")
    yield from _chain(now)


def _chain(now: datetime) -> Iterator[Finding]:
    chain = standing(now=now)
    if chain.unsealed:
        yield Finding("audit seal", FAIL, "Events of the audit log wait too long for their seal; is the watch running?")
    if chain.broken_seq is not None:
        yield Finding("audit chain", FAIL, f"The audit chain breaks at event {chain.broken_seq}.")
    elif chain.verified_at is None:
        yield Finding("audit chain", WARN, "The audit chain was never verified: `manage.py audit verify`.")
    else:
        state = OK if now - chain.verified_at <= VERIFY_EVERY else WARN
        at = f"{chain.verified_at:%Y-%m-%d %H:%M} UTC"
        yield Finding("audit chain", state, f"{chain.verified_seq:,} events of the audit log verify, checked at {at}.")


def _age(name: str, tag: Tag, every: timedelta, now: datetime, never: str) -> Finding:
    latest = Event.objects.filter(tag=tag.value).aggregate(at=Max("at"))["at"]
    if latest is None:
        return Finding(name, WARN, never)
    state = OK if now - latest <= every else WARN
    return Finding(name, state, f"The last {name} was on {latest:%Y-%m-%d}.")


def _queue(now: datetime) -> Iterator[Finding]:
    soon = Delivery.objects.filter(EXPIRES_SOON).aggregate(count=Count("pk"), first=Min("expires_at"))
    if soon["count"]:
        at = f"{soon['first']:%Y-%m-%d %H:%M} UTC"
        sentence = f"{soon['count']} deliveries expire soon, the first on {at}: `queue list --expiring`."
        yield Finding("expiry", WARN, sentence)
    waiting = Delivery.objects.filter(state__in=UNFINISHED)
    if late := scope.late().count():
        sentence = f"{late} deliveries of removed domains wait: `queue list`. Where they cannot go home, add it again."
        yield Finding("removed domains", WARN, sentence)
    oldest = waiting.filter(route__state=RouteState.UP).order_by("created_at").first()
    if oldest and now - oldest.created_at > QUEUE_OLD:
        sentence = f"Delivery {oldest} waits since {oldest.created_at:%Y-%m-%d %H:%M} UTC although its server is up."
        yield Finding("queue", WARN, sentence)
    else:
        yield Finding("queue", OK, f"{waiting.count()} deliveries wait, none of them too long.")
