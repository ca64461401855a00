"""Protected domains and their routes: add, change, list. Every act is recorded in its transaction.

The end of a domain's protection is spool.queue.removal's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings as django_settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.crypto import seal
from audit.record import Target, record
from audit.tags import Tag
from spool.enums import MailboxKind, RecipientPolicy, RouteState, TlsPolicy, WhileUp
from spool.models import Domain, Mailbox, Route, RouteHost
from spool.queue import scope
from spool.queue.addresses import AddressError, normalise, parse_domain


class DomainError(Exception):
    """A domain cannot be added or changed as asked; the text is a sentence for the admin."""


@dataclass(frozen=True)
class Host:
    """One host of a primary."""

    name: str
    port: int = 25


@dataclass(frozen=True)
class Settings:
    """What an admin may set. None leaves a value as it is (when adding: its default); "" clears a URL."""

    hosts: tuple[Host, ...] | None = None
    tls: TlsPolicy | None = None
    recipients: RecipientPolicy | None = None
    dropbox: str | None = None
    while_up: WhileUp | None = None
    submission: str | None = None
    submission_password: str | None = None
    smarthost: str | None = None
    smarthost_password: str | None = None


def parse_host(text: str) -> Host:
    """`host`, `host:port`, `[v6]:port`. Raises DomainError."""
    message = _("A primary has the form host:port, for example mail.example.org:25.")
    if text.count(":") > 1 and not text.startswith("["):
        raise DomainError(message)
    try:
        parts = urlsplit(f"//{text}")
        name, port = parts.hostname or "", parts.port if parts.port is not None else 25
    except ValueError as error:
        raise DomainError(message) from error
    if not _is_host(name) or not 1 <= port <= 65535 or parts.path or parts.query or parts.username is not None:
        raise DomainError(message)
    return Host(name, port)


def _is_host(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        try:
            parse_domain(name)
        except AddressError:
            return False
    return True


def parse_relay_url(text: str) -> str:
    """`smtp[s]://[user@]host:port`, without a password. Raises DomainError. An empty text stays empty."""
    if not text:
        return ""
    message = _("A relay has the form smtp://user@host:port or smtps://user@host:port; its password goes in a file.")
    try:
        parts: SplitResult = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise DomainError(message) from error
    bad_port = port is not None and not 1 <= port <= 65535
    if parts.scheme not in {"smtp", "smtps"} or not _is_host(parts.hostname or "") or bad_port:
        raise DomainError(message)
    if parts.password is not None or parts.path not in {"", "/"} or parts.query or len(text) > 512:
        raise DomainError(message)
    return text


def get(name: str) -> Domain:
    """Raises DomainError if `name` is not protected."""
    try:
        found = Domain.everything.select_related("route").get(name=parse_domain(name))
    except (AddressError, Domain.DoesNotExist) as error:
        words = _("%(name)s is not a protected domain and never was one: `domain list` shows those that are.")
        raise DomainError(words % {"name": name}) from error
    if found.removed_at is not None:
        words = _("%(name)s is not a protected domain any more: it was removed on %(date)s.")
        raise DomainError(words % {"name": found.name, "date": f"{timezone.localtime(found.removed_at):%Y-%m-%d}"})
    return found


@transaction.atomic
def add(name: str, settings: Settings, *, now: datetime, drill: bool = False) -> Domain:
    """Protect a domain with a route of its own; one that was removed comes back with its mailboxes.

    Raises DomainError.
    """
    try:
        name = parse_domain(name)
    except AddressError as error:
        raise DomainError(_("%(name)s is not a domain name.") % {"name": name}) from error
    if not settings.hosts:
        raise DomainError(_("A domain needs at least one primary: --primary host:port."))
    # The route of a domain that was removed stays for its history; what it knew of the primary is old.
    earlier = Route.objects.select_for_update().filter(name=name).first()
    if Domain.objects.filter(name=name).exists() or (earlier and earlier.domains.exists()):
        raise DomainError(_("%(name)s is protected already; use set to change it.") % {"name": name})
    route = Route.objects.update_or_create(name=name, defaults=_fresh_route(now))[0]
    domain, made = Domain.everything.update_or_create(name=name, defaults=_fresh_domain(route, drill=drill))
    _apply(domain, settings)
    detail: dict[str, Any] = {"primary": [str(host) for host in route.hosts.all()], "policy": domain.recipient_policy}
    if not made:
        detail |= {"restored": True, "mailboxes": domain.mailboxes.count()}
    record(Tag.DOMAIN_ADDED, target=Target("domain", name, name), detail=detail, at=now)
    return domain


def _fresh_route(now: datetime) -> dict[str, Any]:
    return {
        "state": RouteState.UP,
        "state_since": now,
        "next_probe_at": now,
        "confirmed_at": None,
        "held": False,
        "tls": TlsPolicy.OPPORTUNISTIC,
        "submission_url": "",
        "submission_password": None,
        "smarthost_url": "",
        "smarthost_password": None,
    }


def _fresh_domain(route: Route, *, drill: bool) -> dict[str, Any]:
    return {
        "route": route,
        "recipient_policy": RecipientPolicy.REJECT,
        "dropbox": None,
        "while_up": WhileUp.DEFER,
        "is_drill": drill,
        "removed_at": None,
    }


@transaction.atomic
def change(name: str, settings: Settings, *, now: datetime) -> Domain:
    """Change what `settings` names. Raises DomainError."""
    # Locked and read again: the watch writes the state of a route at any moment, and a person may remove the domain.
    route = Route.objects.select_for_update().get(pk=get(name).route_id)
    domain = get(name)
    domain.route = route
    _apply(domain, settings)
    fields = [key for key, value in vars(settings).items() if value is not None]
    record(Tag.DOMAIN_CHANGED, target=Target("domain", domain.name, domain.name), detail={"fields": fields}, at=now)
    return domain


def listed(*, drills: bool = False) -> list[Domain]:
    """All protected domains by name, with routes and hosts; with `drills` those of drills that are over, too."""
    found = Domain.objects.select_related("route", "dropbox").prefetch_related("route__hosts", "dkim_keys")
    return list((found if drills else found.exclude(pk__in=scope.past_drills())).order_by("name"))


def _apply(domain: Domain, settings: Settings) -> None:
    if settings.hosts is not None:
        _set_hosts(domain.route, settings.hosts)
    _apply_route(domain.route, settings)
    if settings.while_up is not None:
        domain.while_up = settings.while_up
    if settings.recipients is not None:
        domain.recipient_policy = settings.recipients
    if settings.dropbox is not None:
        domain.dropbox = _dropbox(domain, settings.dropbox)
    if domain.recipient_policy == RecipientPolicy.DROPBOX and domain.dropbox is None:
        raise DomainError(_("The policy dropbox needs the address of a shared mailbox."))
    domain.save()


def _set_hosts(route: Route, hosts: Sequence[Host]) -> None:
    if not hosts or len(set(hosts)) != len(hosts):
        raise DomainError(_("Name at least one primary, and each only once."))
    if any(_is_einbox(host) for host in hosts):
        raise DomainError(
            _("That primary is einbox itself: its mail would go round in a circle. Name your mail server.")
        )
    route.hosts.all().delete()
    RouteHost.objects.bulk_create(
        RouteHost(route=route, position=position, host=host.name, port=host.port) for position, host in enumerate(hosts)
    )


def _is_einbox(host: Host) -> bool:
    """Whether einbox's own SMTP server listens there, as far as the settings tell."""
    try:
        looped = ip_address(host.name).is_loopback
    except ValueError:
        looped = host.name.lower() == "localhost"
    own = django_settings.SMTP
    named = {own.host.lower(), django_settings.SMTP_HOSTNAME.lower()}
    return host.port == own.port and (looped or host.name.lower() in named)


def _apply_route(route: Route, settings: Settings) -> None:
    if settings.tls is not None:
        route.tls = settings.tls
    if settings.submission is not None:
        route.submission_url, route.submission_password = parse_relay_url(settings.submission), None
    if settings.smarthost is not None:
        route.smarthost_url, route.smarthost_password = parse_relay_url(settings.smarthost), None
    if settings.submission_password is not None:
        route.submission_password = seal(settings.submission_password.encode(), f"route-submission:{route.pk}")
    if settings.smarthost_password is not None:
        route.smarthost_password = seal(settings.smarthost_password.encode(), f"route-smarthost:{route.pk}")
    route.save()


def _dropbox(domain: Domain, address: str) -> Mailbox:
    """The shared mailbox `address` of this domain; made if nobody has the address yet."""
    message = _("The dropbox must be a shared mailbox of %(name)s.") % {"name": domain.name}
    try:
        address = normalise(address)
    except AddressError as error:
        raise DomainError(message) from error
    if not address.endswith(f"@{domain.name}"):
        raise DomainError(message)
    mailbox, _made = Mailbox.objects.get_or_create(
        address=address, defaults={"domain": domain, "kind": MailboxKind.SHARED}
    )
    if mailbox.kind != MailboxKind.SHARED or not mailbox.is_active:
        raise DomainError(message)
    return mailbox
