"""The demo organisation Kranich: one domain, five invented people in three roles, a simulated primary.

Made on the first start with EINBOX_DEMO=1, and only in a database that is new or a demo's. Its accounts are
refused on every address that another machine could reach.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts.enums import Role
from accounts.models import User
from accounts.provision import create_user, enrol_totp
from audit.context import Actor, acting
from einbox import durable
from einbox.env import HostPort, SettingsError
from einbox.settings import DEMO_IS_LOCAL
from einbox.simulation import switch
from einbox.simulation.post import DOMAIN
from spool.enums import TlsPolicy
from spool.models import Domain
from spool.queue import domains, mailboxes

FILE_NAME = "demo.txt"
MAKER = Actor("system", None, "demo")
CONSONANTS, VOWELS = "bdfghklmnprstvz", "aeiou"


@dataclass(frozen=True)
class Person:
    name: str
    local: str
    role: Role

    @property
    def email(self) -> str:
        return f"{self.local}@{DOMAIN}"


PEOPLE = (
    Person("Mara Lindqvist", "mara.lindqvist", Role.EMPLOYEE),
    Person("Jonas Achterberg", "jonas.achterberg", Role.EMPLOYEE),
    Person("Priya Raman", "priya.raman", Role.EMPLOYEE),
    Person("Henrike Voss", "henrike.voss", Role.SECURITY),
    Person("Tobias Okafor", "tobias.okafor", Role.ADMIN),
)
SHARED = f"info@{DOMAIN}"


def primary_address() -> HostPort:
    """Where the simulated primary listens: loopback, one port above einbox's own."""
    return HostPort("127.0.0.1", settings.SMTP.port + 1)


def exists() -> bool:
    """Whether this database holds demo accounts."""
    return User.objects.filter(is_demo=True).exists()


def mail_sent_marker() -> Path:
    """Exists once the demo's mail has arrived, so that a cut first start sends it the next time."""
    return settings.HOME / "primary.mail-sent"


def refuse_exposure() -> None:
    """Raise SettingsError if demo accounts could be reached from another machine.

    The settings refuse it already while demo.txt is there; this asks the accounts themselves.
    """
    if exists() and not settings.LOCAL_ONLY:
        raise SettingsError(DEMO_IS_LOCAL)


def ensure(*, now: datetime) -> bool:
    """Make the demo organisation unless it is there; whether it was made now. Raises SettingsError."""
    if exists():
        return False
    if User.objects.exists() or Domain.objects.exists():
        raise SettingsError(
            "EINBOX_DEMO=1 needs a new database, and this one is in use. Start without EINBOX_DEMO, "
            "or set EINBOX_HOME to a new directory for the demo."
        )
    switch.turn(settings.HOME, on=False)  # the demo opens in the middle of an outage
    with acting(MAKER), transaction.atomic():
        address = primary_address()
        route = domains.Settings(hosts=(domains.Host(address.host, address.port),), tls=TlsPolicy.NONE)
        domains.add(DOMAIN, route, now=now)
        rows = [_make(person, now) for person in PEOPLE]
        _make_shared(now)
        _write_sheet(rows)
    return True


def _make(person: Person, now: datetime) -> tuple[Person, str, str]:
    password = new_password()
    user = create_user(email=person.email, name=person.name, role=person.role, password=password, demo=True)
    secret = enrol_totp(user).secret
    mailboxes.add(person.email, now=now, name=person.name, user=user)
    return person, password, secret


def _make_shared(now: datetime) -> None:
    shared = mailboxes.add(SHARED, now=now, shared=True, name="Info")
    for person in PEOPLE[:2]:
        mailboxes.add_member(shared, User.objects.get(email=person.email), now=now)


def new_password() -> str:
    """Four pronounceable groups, about 50 bits: enough behind a second factor, a throttle and loopback."""

    def group() -> str:
        return "".join(secrets.choice(letters) for letters in (CONSONANTS, VOWELS, CONSONANTS, VOWELS))

    return "-".join(group() for _ in range(4))


def _write_sheet(rows: list[tuple[Person, str, str]]) -> None:
    """Keep the log-ins at 0600. Inside the transaction: they are on disk before the accounts can be used."""
    text = "\n".join(f"{p.email}\t{p.role.value}\t{password}\t{secret}" for p, password, secret in rows) + "\n"
    durable.replace(settings.HOME / FILE_NAME, text)


def log_ins() -> list[list[str]]:
    """Rows of email, role, password, TOTP secret; empty when the file is gone."""
    try:
        text = (settings.HOME / FILE_NAME).read_text(encoding="utf-8")
    except OSError:
        return []
    return [line.split("\t") for line in text.splitlines() if line.count("\t") == 3]
