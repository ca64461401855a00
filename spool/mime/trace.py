"""Trace fields einbox adds to mail it accepted (RFC 5321 section 4.4). Pure: the time is given.

Everything that came from a peer is reduced to printable ASCII, so no value can start a line of its own.
"""

import re
from datetime import datetime
from email.utils import format_datetime
from ipaddress import IPv6Address, ip_address

_UNSAFE = re.compile(r"[^\x21-\x27\x2a-\x5b\x5d-\x7e]")  # printable ASCII without space, ( ) and \
MAX_WORD = 255


def protocol(*, esmtp: bool = True, tls: bool = False, authenticated: bool = False, smtputf8: bool = False) -> str:
    """The `with` keyword of a Received field (RFC 3848, RFC 6531 section 4.3)."""
    if smtputf8:
        return "UTF8SMTP" + "S" * tls + "A" * authenticated
    return ("ESMTP" + "S" * tls + "A" * authenticated) if esmtp else "SMTP"


def _word(text: str) -> str:
    return _UNSAFE.sub("?", text)[:MAX_WORD]


def _literal(peer: str) -> str:
    try:
        address = ip_address(peer)
    except ValueError:
        return "[unknown]"
    return f"[IPv6:{address}]" if isinstance(address, IPv6Address) else f"[{address}]"


def received(
    *,
    by: str,
    id: str,  # noqa: A002 - the word of the RFC
    at: datetime,
    helo: str = "",
    peer: str | None = None,
    with_: str = "ESMTP",
    tls: str = "",
    recipient: str = "",
) -> bytes:
    """One folded Received field ending in CRLF. `at` is aware; name `recipient` only when there is a single one."""
    clauses = []
    if helo or peer:
        clauses.append(f"from {_word(helo) or 'unknown'} ({_literal(peer or '')})")
    secured = f" ({' '.join(_word(part) for part in tls.split())})" if tls.strip() else ""
    clauses.append(f"by {_word(by)} (einbox) with {_word(with_)}{secured}")
    clauses.append(f"id {_word(id)}" + (f" for <{_word(recipient)}>" if recipient else "") + ";")
    clauses.append(format_datetime(at))
    return ("Received: " + "\r\n\t".join(clauses) + "\r\n").encode("ascii")
