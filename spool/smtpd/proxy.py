"""The PROXY protocol header, versions 1 and 2 (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2). Pure: octets in,
address out; no sockets, no clock, no settings. Whether a peer may speak it is decided elsewhere.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

V1_LONGEST = 107  # octets with CR LF (section 2.1)
V2_LONGEST = 2048  # octets in all: ours; addresses need 52, the rest is room for a proxy's extras
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = 16  # octets of a version 2 header before its addresses
LOCAL, PROXY = 0x20, 0x21
UNSPECIFIED, TCP4, TCP6 = 0x00, 0x11, 0x21
OCTETS = {TCP4: 4, TCP6: 16}  # of one address
_V1 = re.compile(rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP[46]) ([^ ]+) ([^ ]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4}))")


class ProxyError(ValueError):
    """What arrived is not, and cannot become, a header that einbox takes."""


@dataclass(frozen=True)
class Header:
    """`client` is None where the proxy speaks for itself (UNKNOWN, LOCAL); `length`: octets up to the first of SMTP."""

    client: str | None
    length: int


def read(data: bytes) -> Header | None:
    """The header that `data` begins with; None: more octets are needed. Raises ProxyError as soon as it is clear."""
    if data[:1] == b"P":
        return _read_v1(data)
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _read_v2(data) if len(data) >= FIXED else None
    raise ProxyError


def _read_v1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, V1_LONGEST)
    if end < 0:
        if len(data) >= V1_LONGEST or data[:6] != b"PROXY "[: len(data)]:
            raise ProxyError
        return None
    match = _V1.fullmatch(data, 0, end)
    if match is None:
        raise ProxyError
    family, source, destination, *ports = match.groups()
    if family is None:
        return Header(None, end + 2)
    kind = IPv4Address if family == b"TCP4" else IPv6Address
    try:
        client = kind(source.decode("ascii"))
        kind(destination.decode("ascii"))
    except ValueError as error:
        raise ProxyError from error
    if any(int(port) > 65535 for port in ports) or b"%" in source + destination:
        raise ProxyError
    return Header(_plain(client), end + 2)


def _read_v2(data: bytes) -> Header | None:
    command, family = data[12], data[13]
    length = FIXED + int.from_bytes(data[14:16], "big")
    if command not in (LOCAL, PROXY) or length > V2_LONGEST:
        raise ProxyError
    if command == PROXY and family != UNSPECIFIED:
        octets = OCTETS.get(family)
        # Datagrams and UNIX sockets carry no SMTP client whom one could count.
        if octets is None or length < FIXED + 2 * octets + 4:
            raise ProxyError
        if len(data) < length:
            return None
        return Header(_plain(ip_address(data[FIXED : FIXED + octets])), length)
    return Header(None, length) if len(data) >= length else None


def _plain(address: IPv4Address | IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)
