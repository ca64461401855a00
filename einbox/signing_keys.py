"""What `domain dkim` does and shows: the keys of a domain, their records, and what DNS says of them.

Rules of keys are spool.queue.signing's; this brings them together with DNS, which spool never asks.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from einbox.dns import dkim as published
from einbox.dns.resolver import Resolver
from einbox.finding import FAIL, OK, WARN, Finding
from spool.mime.dkim import zone_line
from spool.models import DkimKey, Domain
from spool.queue import signing

Row = dict[str, Any]


def show(domain: Domain, *, now: datetime, rotate: bool = False, selector: str = "") -> list[Row]:
    """The keys of a domain; a first pair, or with `rotate` a fresh one, is made. Raises SigningError."""
    if rotate or not signing.keys_of(domain):
        signing.make(domain, now=now, selector=selector)
    elif selector:
        message = _("%(name)s has keys already; --rotate makes a fresh pair.") % {"name": domain.name}
        raise signing.SigningError(message)
    return rows(domain)


def check(domain: Domain, resolver: Resolver, *, now: datetime) -> list[Row]:
    """Ask DNS for every key in use; those whose record is right begin to sign. Raises SigningError."""
    found = {one.selector: one for one in published.look(domain.name, _expected(domain), resolver)}
    if not found:
        raise signing.SigningError(_("%(name)s has no key to look for.") % {"name": domain.name})
    right = [key for key in signing.keys_of(domain) if key.selector in found and found[key.selector].found]
    signing.confirm(domain, right, seen="dns", now=now)
    shown = rows(domain)
    for row in shown:
        one = found.get(row["selector"])
        row |= {"published": one.found if one else None, "dns": one.sentence if one else ""}
    return shown


def trust(domain: Domain, *, now: datetime) -> list[Row]:
    """Let the keys that wait sign, on the operator's word. Raises SigningError."""
    if not signing.confirm(domain, signing.keys_of(domain), seen="word", now=now):
        raise signing.SigningError(_("%(name)s has no key that waits for its record.") % {"name": domain.name})
    return rows(domain)


def stop(domain: Domain, *, reason: str, now: datetime) -> list[Row]:
    """Erase the private keys. Raises SigningError."""
    signing.stop(domain, reason=reason, now=now)
    return rows(domain)


def rows(domain: Domain) -> list[Row]:
    """One row a key, the newest first; without a record once it is retired."""
    return [_row(domain, key) for key in signing.keys_of(domain)]


def _row(domain: Domain, key: DkimKey) -> Row:
    state = signing.state(key)
    name, value = signing.record_name(key), signing.record_value(key)
    return {
        "domain": domain.name,
        "selector": key.selector,
        "algorithm": key.algorithm,
        "state": state,
        "made_at": key.made_at,
        "confirmed_at": key.confirmed_at,
        "retired_at": key.retired_at,
        "name": name,
        "value": "" if state == "retired" else value,
        "record": "" if state == "retired" else zone_line(name, value),
    }


def _expected(domain: Domain) -> dict[str, str]:
    keys = (key for key in signing.keys_of(domain) if key.retired_at is None)
    return {key.selector: signing.record_value(key) for key in keys}


# --- for doctor ----------------------------------------------------------------------------------------------------
def examine(domain: Domain, resolver: Resolver) -> Iterator[Finding]:
    """Would mail that leaves past the domain's own server be believed? Silent without such a way and without a key."""
    check = f"dkim {domain.name}"
    state = signing.state_of(domain)
    if state is None:
        if domain.route.smarthost_url:
            sentence = f"Mail of {domain.name} leaves by the smarthost unsigned: `domain dkim {domain.name}`."
            yield Finding(check, WARN, sentence)
        return
    signs = {key.selector for key in signing.keys_of(domain) if signing.state(key) == "signs"}
    for one in published.look(domain.name, _expected(domain), resolver):
        if one.found is None:
            yield Finding(check, WARN, one.sentence)
        elif one.selector not in signs:
            waits = "it signs after" if one.found else "publish it, then"
            sentence = f"{one.sentence} The key waits: {waits} `domain dkim {domain.name} --check`."
            yield Finding(check, WARN, sentence)
        elif one.found:
            yield Finding(check, OK, one.sentence)
        else:
            yield Finding(check, FAIL, f"{one.sentence} What {domain.name} signs with it is not believed.")
