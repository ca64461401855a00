"""A name server on loopback that answers from a table, by UDP and TCP, and misbehaves as told."""

import errno
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from einbox.dns.message import HEADER, IN, RECORD, RESPONSE, TRUNCATED, Kind, encode_name, read_name

Row = tuple[Kind, str, int]  # kind, value ("20 mx.example" for an MX, a text of octets for a TXT), TTL
Table = dict[str, list[Row]]
TRICKLE = 2_000  # octets that a trickling server announces
Twist = Callable[[bytes], list[bytes]]  # what is sent by UDP instead of the answer


def _data(kind: Kind, value: str) -> bytes:
    if kind is Kind.A:
        return socket.inet_pton(socket.AF_INET, value)
    if kind is Kind.AAAA:
        return socket.inet_pton(socket.AF_INET6, value)
    if kind is Kind.MX:
        preference, _, host = value.partition(" ")
        return struct.pack("!H", int(preference)) + encode_name(host)
    if kind is Kind.TXT:
        octets = value.encode("latin-1")
        pieces = [octets[start : start + 255] for start in range(0, len(octets), 255)] or [b""]
        return b"".join(bytes([len(piece)]) + piece for piece in pieces)
    return encode_name(value)


def answer(query: bytes, table: Table, *, code: int = 0) -> bytes:
    """The answer to `query`: rows of its name, CNAMEs followed."""
    number = HEADER.unpack_from(query)[0]
    name, end = read_name(query, HEADER.size)
    (kind,) = struct.unpack_from("!H", query, end)
    records, at = [], name
    while rows := [row for row in table.get(at, []) if row[0] in (kind, Kind.CNAME)]:
        for each, value, ttl in rows:
            data = _data(each, value)
            records.append(encode_name(at) + RECORD.pack(each, IN, ttl, len(data)) + data)
        if rows[0][0] is not Kind.CNAME or kind == Kind.CNAME:
            break
        at = rows[0][1]
    head = HEADER.pack(number, RESPONSE | code, 1, len(records), 0, 0)
    return head + query[HEADER.size : end + 4] + b"".join(records)


def _sockets() -> tuple[socket.socket, socket.socket]:
    """One port by UDP and by TCP; another is tried where somebody has the second half."""
    while True:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        try:
            return datagrams, socket.create_server(datagrams.getsockname())
        except OSError as error:
            datagrams.close()
            if error.errno != errno.EADDRINUSE:
                raise


class NameServer:
    """`with NameServer(table) as server:`; `server.address` for a resolver. `asked` counts by transport."""

    def __init__(
        self,
        table: Table,
        *,
        code: int = 0,
        truncate: bool = False,
        twist: Twist | None = None,
        trickle: bool = False,  # by TCP an octet every few milliseconds; `trickled` counts them
    ) -> None:
        self.table, self.code, self.truncate, self.twist, self.trickle = table, code, truncate, twist, trickle
        self.trickled = 0
        self.over = threading.Event()
        self.asked = {"udp": 0, "tcp": 0}
        self.datagrams, self.streams = _sockets()
        self.address: tuple[str, int] = self.datagrams.getsockname()
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._udp, self._tcp)]

    def _udp(self) -> None:
        while True:
            query, peer = self.datagrams.recvfrom(4096)
            if not query:
                return
            self.asked["udp"] += 1
            reply = answer(query, self.table, code=self.code)
            if self.truncate:
                number, flags, *_ = HEADER.unpack_from(reply)
                reply = HEADER.pack(number, flags | TRUNCATED, 1, 0, 0, 0) + query[HEADER.size :]
            for each in self.twist(reply) if self.twist else [reply]:
                self.datagrams.sendto(each, peer)

    def _tcp(self) -> None:
        while True:
            channel, _ = self.streams.accept()
            with channel:
                head = channel.recv(2)
                if not head:
                    return
                self.asked["tcp"] += 1
                if self.trickle:
                    self._trickle(channel)
                    continue
                reply = answer(channel.recv(int.from_bytes(head, "big")), self.table, code=self.code)
                channel.sendall(len(reply).to_bytes(2, "big") + reply)

    def _trickle(self, channel: socket.socket) -> None:
        with suppress(OSError):
            channel.sendall(TRICKLE.to_bytes(2, "big"))
            while self.trickled < TRICKLE and not self.over.wait(0.002):
                channel.sendall(b"x")
                self.trickled += 1

    def __enter__(self) -> "NameServer":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.address)
        socket.create_connection(self.address).close()
        for thread in self.threads:
            thread.join(timeout=5)
        self.datagrams.close()
        self.streams.close()
