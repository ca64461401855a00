"""Asks the system's name servers, with a time limit over all questions together. UDP, then TCP for long answers.

For doctor only. A name that no public name server knows (RFC 6761) is never asked for.
"""

import re
import secrets
import socket
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from einbox.dns.message import Answer, Kind, MessageError, Record, question, read_answer

RESOLV_CONF = Path("/etc/resolv.conf")
PORT = 53
SERVERS = 3  # as resolv.conf(5)
TRY_SECONDS = 1.0  # for one answer over UDP
MAX_ANSWER = 65_535
RESERVED = re.compile(r"(^|\.)(test|example|invalid|localhost|local|internal|onion|example\.(com|net|org))$", re.I)


class UnansweredError(Exception):
    """No server answered in time; the text says which were asked."""


def is_reserved(name: str) -> bool:
    """Whether the name is for tests and documents, or of this machine only."""
    return "." not in name.rstrip(".") or bool(RESERVED.search(name.rstrip(".")))


def system_servers(path: Path = RESOLV_CONF) -> tuple[tuple[str, int], ...]:
    """The name servers of resolv.conf(5); none if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    named = [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]
    return tuple((address, PORT) for address in named if _is_address(address))[:SERVERS]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@dataclass
class Resolver:
    """`seconds` for all its questions together, from the first one on."""

    servers: tuple[tuple[str, int], ...]
    seconds: float = 4.0
    _ends: float = field(default=0.0, init=False)

    def ask(self, name: str, kind: Kind) -> tuple[Record, ...]:
        """The records of that kind; none if there are none. Raises UnansweredError."""
        self._ends = self._ends or time.monotonic() + self.seconds
        silent = bool(self.servers)
        while silent and self._left() > 0:
            silent = False
            for server in self.servers:
                answer = self._one(server, name, kind)
                if answer is not None and not answer.failed:
                    return answer.records
                silent = silent or answer is None  # one that failed is not asked again
        asked = ", ".join(host for host, _port in self.servers) or "no name server is configured"
        message = f"no answer for {name} ({asked})"
        raise UnansweredError(message)

    def pointers(self, address: str) -> tuple[str, ...]:
        """The names an address points back to. Raises UnansweredError."""
        return tuple(record.value for record in self.ask(ip_address(address).reverse_pointer, Kind.PTR))

    def _left(self) -> float:
        return self._ends - time.monotonic()

    def _one(self, server: tuple[str, int], name: str, kind: Kind) -> Answer | None:
        """What one server says; None if it does not answer in time or nonsense only."""
        try:
            answer = self._by_udp(server, name, kind)
            return self._by_tcp(server, name, kind) if answer and answer.truncated else answer
        except MessageError as error:
            raise UnansweredError(f"{name} cannot be asked for: {error}") from error
        except OSError:
            return Answer(failed=True)

    def _by_udp(self, server: tuple[str, int], name: str, kind: Kind) -> Answer | None:
        number = secrets.randbits(16)
        query = question(number, name, kind)
        ends = time.monotonic() + min(TRY_SECONDS, self._left())
        with socket.socket(_family(server), socket.SOCK_DGRAM) as channel:
            channel.connect(server)  # datagrams of other senders do not reach us
            channel.send(query)
            while (left := ends - time.monotonic()) > 0:
                channel.settimeout(left)
                try:
                    return read_answer(channel.recv(MAX_ANSWER), number, name, kind)
                except MessageError:
                    continue  # forged or late: the right one may still come
                except TimeoutError:
                    break
        return None

    def _by_tcp(self, server: tuple[str, int], name: str, kind: Kind) -> Answer | None:
        number = secrets.randbits(16)
        query = question(number, name, kind)
        with socket.create_connection(server, timeout=max(0.01, self._left())) as channel:
            channel.sendall(len(query).to_bytes(2, "big") + query)
            size = int.from_bytes(self._exactly(channel, 2), "big")
            octets = self._exactly(channel, size)
        try:
            answer = read_answer(octets, number, name, kind)
        except MessageError:
            return None
        return None if answer.truncated else answer

    def _exactly(self, channel: socket.socket, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            if (left := self._left()) <= 0:
                raise TimeoutError
            channel.settimeout(left)
            more = channel.recv(count - len(octets))
            if not more:
                raise ConnectionResetError
            octets += more
        return octets


def _family(server: tuple[str, int]) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server[0] else socket.AF_INET
