"""Connections that come through a proxy: the header is read, then the session begins as the real client's.

Stands between listener and session only where EINBOX_SMTPD_PROXIES is set. Says nothing on the wire: a proxy without
a proper header is misconfigured or no proxy, and is closed.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, cast

from audit.clientip import is_trusted, parse_hop
from spool.smtpd import proxy
from spool.smtpd.connection import Connection

if TYPE_CHECKING:
    from spool.smtpd.server import Server

log = logging.getLogger(__name__)


class Proxied(asyncio.Protocol):
    """Waits for one header. From a peer that is no proxy nothing is waited for: its PROXY is an unknown command."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self._peer = ""
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._peer = (transport.get_extra_info("peername") or ("",))[0]
        if not is_trusted(parse_hop(self._peer), self.server.limits.proxies):
            self._begin(self._peer)
        elif self.server.stopping or len(self.server.waiting) >= self.server.limits.sessions:
            self._refuse("sessions")
        else:
            self.server.waiting.add(self)
            self._timer = self.server.loop.call_later(self.server.limits.proxy_header, self._refuse, "proxy_slow")

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()
        self.transport = None

    def data_received(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        self._data += data
        try:
            header = proxy.read(self._data)
        except proxy.ProxyError:
            self._refuse("proxy_header")
            return
        if header is not None:
            self._begin(header.client or self._peer, self._data[header.length :])

    def close(self) -> None:
        """End without a word: the server stops."""
        self._leave()
        if self.transport is not None:
            self.transport.abort()

    def _begin(self, client: str, rest: bytes = b"") -> None:
        """Hand the connection to a session, with what came behind the header."""
        transport = self.transport
        self._leave()
        if transport is None:
            return
        session = Connection(self.server, peer=client)
        transport.set_protocol(session)
        session.connection_made(transport)
        if rest:
            session.data_received(rest)

    def _leave(self) -> None:
        self.server.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _refuse(self, reason: str) -> None:
        self.server.counters.add(f"refused.{reason}")
        log.info("refused: %s for the proxy %s", reason, self._peer)
        self.close()
