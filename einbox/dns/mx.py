"""Do senders find einbox, after the primary? MX order, addresses and their names, in sentences."""

from collections.abc import Iterator

from einbox.dns.message import Kind
from einbox.dns.resolver import Resolver, UnansweredError, is_reserved
from einbox.finding import FAIL, OK, WARN, Finding

LONG_TTL = 3600  # seconds; a change of the MX takes that long to be seen


def examine(hostname: str, domains: list[str], resolver: Resolver) -> Iterator[Finding]:
    """einbox's own name, then each domain. What cannot be asked is a warning."""
    host = hostname.rstrip(".").lower()
    if is_reserved(host) or host.startswith("["):  # an address literal
        yield Finding("dns", WARN, f"DNS was not checked: {host} is no public name, set EINBOX_HOSTNAME.")
        return
    try:
        yield from _host(host, resolver)
        for domain in domains:
            if not is_reserved(domain):
                yield from _domain(domain, host, resolver)
    except UnansweredError as error:
        yield Finding("dns", WARN, f"DNS could not be checked: {error}.")


def _host(host: str, resolver: Resolver) -> Iterator[Finding]:
    addresses = [record.value for kind in (Kind.A, Kind.AAAA) for record in resolver.ask(host, kind)]
    if not addresses:
        yield Finding("dns name", FAIL, f"{host} has no address: add an A and an AAAA record.")
    for address in addresses:
        names = resolver.pointers(address)
        if host in names:
            yield Finding("dns ptr", OK, f"{address} points back to {host}.")
        else:
            found = ", ".join(names) or "nothing"
            yield Finding("dns ptr", WARN, f"{address} points back to {found}, not to {host}: set its PTR record.")


def _domain(domain: str, host: str, resolver: Resolver) -> Iterator[Finding]:
    records = resolver.ask(domain, Kind.MX)
    ours = [record.preference for record in records if record.value == host]
    others = [record.preference for record in records if record.value != host]
    check = f"dns mx {domain}"
    if not ours:
        listed = ", ".join(sorted(record.value for record in records)) or "no host"
        sentence = f"Senders do not find einbox: the MX of {domain} names {listed}. Add `{domain}. MX 20 {host}.`, "
        yield Finding(check, WARN, sentence + "or name einbox as second host of the filter in front.")
    elif not others:
        yield Finding(check, WARN, f"einbox is the only MX of {domain}: the server itself must come first.")
    elif min(ours) <= min(others):
        sentence = (
            f"einbox comes first for {domain} ({min(ours)}, the others from {min(others)}): give it a higher number."
        )
        yield Finding(check, FAIL, sentence)
    else:
        yield Finding(check, OK, f"einbox comes after the server of {domain} ({min(ours)} after {min(others)}).")
    if records and (ttl := max(record.ttl for record in records)) > LONG_TTL:
        yield Finding(f"dns ttl {domain}", WARN, f"The MX of {domain} is kept for {ttl // 60} minutes; lower its TTL.")
