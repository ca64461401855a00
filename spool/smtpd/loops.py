"""Mail loops (RFC 5321 section 6.3): too many Received fields, or too many of our own. Pure."""

import re

from spool.mime.headers import block_end
from spool.smtpd.limits import Limits


def looping(raw: bytes, hops: int, *, hostname: str, limits: Limits) -> bool:
    """Whether a message with `hops` Received fields has been around too often."""
    if hops >= limits.hops:
        return True
    if hops <= limits.own_hops:
        return False
    mark = re.compile(rb"\sby\s+" + re.escape(hostname.encode("ascii", "replace")) + rb"\s+\(einbox\)", re.I)
    return sum(1 for _found in mark.finditer(raw, 0, block_end(raw)[0])) > limits.own_hops
