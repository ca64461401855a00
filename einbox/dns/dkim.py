"""Do receivers find the keys that einbox signs with? The TXT records of DKIM keys, in sentences (RFC 6376 section 3.6).

Says what is wrong, never what a stranger's name server answered. Touches no key.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from einbox.dns.message import Kind
from einbox.dns.resolver import Resolver, UnansweredError, is_reserved
from spool.mime.dkim import record_name

TAG = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*=(.*)", re.S)


@dataclass(frozen=True)
class Published:
    """What DNS says of one key: `found` and right, wrong, or (None) not to be asked. `sentence` tells the admin."""

    selector: str
    found: bool | None
    sentence: str


def tags(text: str) -> dict[str, str]:
    """A tag list (RFC 6376 section 3.2), values without white space around; empty if it is none or has a tag twice."""
    found: dict[str, str] = {}
    for piece in text.rstrip().removesuffix(";").split(";"):
        match = TAG.fullmatch(piece)
        if match is None or match[1] in found:
            return {}
        found[match[1]] = match[2].strip()
    return found


def difference(text: str, expected: str) -> str:
    """Why a record does not do what `expected` would, as a phrase; empty if it does."""
    ours, theirs = tags(expected), tags(text)
    if theirs.get("v", "DKIM1") != "DKIM1" or "p" not in theirs:
        return "is no DKIM key"
    key = re.sub(r"\s", "", theirs["p"])
    if not key:
        return "says that the key is revoked"
    if theirs.get("k", "rsa") != ours["k"] or key != ours["p"]:
        return "holds another key"
    if "sha256" not in theirs.get("h", "sha256").split(":"):
        return "allows no SHA-256"
    if not {"*", "email"} & set(theirs.get("s", "*").split(":")):
        return "is not for mail"
    if "y" in theirs.get("t", "").split(":"):
        return "says that the domain is only testing DKIM (t=y)"
    return ""


def look(domain: str, records: dict[str, str], resolver: Resolver) -> Iterator[Published]:
    """For each selector of `records` (selector: text it should have), what DNS says. Never raises."""
    for selector, expected in records.items():
        name = record_name(selector, domain)
        if is_reserved(domain):
            yield Published(selector, None, f"DNS was not asked for {name}: {domain} is no public name.")
            continue
        try:
            found = [record.value for record in resolver.ask(name, Kind.TXT)]
        except UnansweredError as error:
            yield Published(selector, None, f"DNS could not be asked: {error}.")
            continue
        yield _judged(selector, name, found, expected)


def _judged(selector: str, name: str, found: list[str], expected: str) -> Published:
    if not found:
        return Published(selector, False, f"{name} has no TXT record.")
    if len(found) > 1:  # undefined (RFC 6376 section 3.6.2.2): each receiver takes another one
        return Published(selector, False, f"{name} has {len(found)} TXT records; one is right.")
    if why := difference(found[0], expected):
        return Published(selector, False, f"The TXT record of {name} {why}.")
    return Published(selector, True, f"{name} is published.")
