"""The simulated primary: a small SMTP server that keeps what it gets in a Maildir, and can be switched off.

Switched off it refuses connections and drops those it has, as a dead server does. Loopback only, no database.
"""

import asyncio
import itertools
import logging
import os
import signal
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from einbox.env import HostPort
from einbox.simulation import switch

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2  # how often the switch is read
SIZE_LIMIT = 60 * 2**20  # octets


class Keeper:
    """Stores each message octet for octet, with its envelope on top (RFC 5321 section 4.4)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count(1)
        for name in ("tmp", "new", "cur"):  # a Maildir, so that any mail program can open it
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        head = [f"Return-Path: <{envelope.mail_from}>", *(f"Delivered-To: {to}" for to in envelope.rcpt_tos)]
        name = f"{time.time_ns()}.{os.getpid()}_{next(self.numbers)}.primary"
        partial = self.folder / "tmp" / name
        partial.write_bytes("".join(f"{line}\r\n" for line in head).encode("utf-8", "surrogateescape") + content)
        partial.rename(self.folder / "new" / name)
        return f"250 2.0.0 kept as {name}"


class Primary:
    """Listens on `address` while the switch in `home` is on."""

    def __init__(self, home: Path, address: HostPort) -> None:
        self.home = home
        self.address = address
        self.keeper = Keeper(home / "primary")
        self.server: asyncio.Server | None = None
        self.sessions: set[SMTP] = set()
        self.said = False  # that it cannot listen

    def _session(self) -> SMTP:
        session = SMTP(
            self.keeper, data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True, hostname="primary.kranich.example"
        )
        self.sessions.add(session)
        return session

    async def follow_switch(self) -> None:
        """Start or stop listening until cancelled."""
        while True:
            wanted = switch.is_on(self.home)
            if wanted and self.server is None:
                await self._listen()
            elif not wanted and self.server is not None:
                self.close()
            self.sessions = {session for session in self.sessions if session.transport is not None}
            await asyncio.sleep(LOOK_SECONDS)

    async def _listen(self) -> None:
        """Says once why it cannot, and goes on looking."""
        loop = asyncio.get_running_loop()
        try:
            self.server = await loop.create_server(self._session, self.address.host, self.address.port)
            self.said = False
        except OSError as error:
            if not self.said:
                reason = os.strerror(error.errno or 0)
                logger.warning("the simulated primary cannot listen on %s (%s); it tries again", self.address, reason)
            self.said = True

    def close(self) -> None:
        """Stop listening and cut every session."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for session in self.sessions:
            if isinstance(session.transport, asyncio.WriteTransport):
                session.transport.abort()
        self.sessions.clear()


async def _serve(home: Path, address: HostPort) -> None:
    primary = Primary(home, address)
    task = asyncio.ensure_future(primary.follow_switch())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        primary.close()


def run(home: Path, address: HostPort) -> None:
    """Serve until SIGTERM."""
    asyncio.run(_serve(home, address))
