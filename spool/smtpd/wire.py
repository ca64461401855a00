"""The wire of one SMTP session: octets in, lines out, pauses, faults and the end. Knows no SMTP verb.

aiosmtpd's protocol underneath. Its stream reader and its task per connection are replaced: what arrives is worked on
synchronously, and only a commit or a rare command makes the session wait. Everything runs in the loop's thread.
"""

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any, cast

from aiosmtpd.smtp import SMTP

from spool.queue.ingest import Stored
from spool.smtpd import replies
from spool.smtpd.job import Job
from spool.smtpd.policy import network
from spool.smtpd.replies import Reply
from spool.smtpd.scanner import DataScanner

if TYPE_CHECKING:
    from spool.smtpd.server import Server

log = logging.getLogger(__name__)

PIPELINE = 64 * 2**10  # octets a client may send ahead while a command is being worked on


class Wire(SMTP, asyncio.BufferedProtocol):  # type: ignore[misc, unused-ignore]
    """Reads and writes; a subclass says what `_command` and `_take_data` do.

    Octets are received into one buffer that all sessions of a loop share: asyncio's own way makes an object of 256 KiB
    for each read, which costs six times as much as the read itself.
    """

    def __init__(self, server: "Server", *, peer: str = "") -> None:
        # Not SMTP.__init__: its reflection costs as much as a message (70-200 µs); all it prepares is replaced.
        self.server = server
        self.loop = server.loop
        self.limits = server.limits
        self.transport: asyncio.Transport | None = None
        self.peer = peer  # the client's address, if a proxy told it
        self.client = ""  # whose sessions are counted together
        self.tls = ""
        self.seen = 0.0  # loop time of the last octets
        self.scanner: DataScanner | None = None  # while a message is being read
        self.job: Job | None = None  # while one is being written
        self.data_since = 0.0  # loop time
        self._data = b""
        self._out: list[bytes] = []
        self._busy = False  # a command is being worked on: what comes waits
        self._late = False  # a reply is held back (tarpit)
        self._eof = False
        self._clear = True  # until STARTTLS
        self._closing = False
        self._skipped = 0  # octets of a command line that is too long
        self._errors = 0
        self._task: asyncio.Task[None] | None = None

    def __del__(self) -> None:
        """aiosmtpd's looks at a future that this class does not make."""

    def _command(self, line: bytes) -> None:
        raise NotImplementedError

    def _take_data(self) -> None:
        raise NotImplementedError

    def _let_go(self) -> None:
        """Forget a message that is being read."""
        raise NotImplementedError

    def finished(self, stored: Stored | None) -> None:
        """The committer's word on this session's job; None: in doubt."""
        raise NotImplementedError

    # --- the transport's calls ---------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.seen = self.loop.time()
        self.peer = self.peer or (transport.get_extra_info("peername") or ("",))[0]
        self.client = network(self.peer, v4=32)
        if not self.server.admit(self):
            self._dismiss(replies.TOO_MANY_SESSIONS)
            return
        self.transport.write(self.server.greeting)

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self.transport = None
        self._let_go()
        if self._task is not None:
            self._task.cancel()
        self.server.left(self)

    def eof_received(self) -> bool:
        """The client sends no more. What it sent before is still answered (not over TLS, which cannot)."""
        self._eof = True
        return self._busy and self._clear

    def pause_writing(self) -> None:
        """The client does not read its replies: stop reading its commands."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.transport is not None and not self._closing:
            self.transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where octets go; the loop fills it and calls `buffer_updated` before it reads for anybody else."""
        return self.server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.server.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        self.seen = self.loop.time()
        self._data = self._data + data if self._data else data
        if not self._busy:
            self._work()
        elif len(self._data) > PIPELINE and self.transport is not None:
            self.transport.pause_reading()

    # --- the loop over what has arrived --------------------------------------------------------------------------
    def _work(self) -> None:
        """Answer all complete commands; a fault of ours is a 451, never its text."""
        try:
            while self._data and not self._busy and not self._closing:
                if self.scanner is not None:
                    self._take_data()
                elif not self._take_line():
                    break
        except Exception as error:  # noqa: BLE001 - handle_exception logs it
            self._fail(error)
        self._flush()

    def _take_line(self) -> bool:
        """Work on one command line. False: it is not complete yet."""
        end = self._data.find(b"\n") + 1
        if not end:
            if len(self._data) > self.limits.command_line:
                self._skipped, self._data = self._skipped + len(self._data), b""
            if self._skipped > PIPELINE:
                self._dismiss(replies.COMMAND_TOO_LONG)
            return False
        line, self._data = self._data[:end], self._data[end:]
        if self._skipped or len(line) > self.limits.command_line:
            self._skipped = 0
            self._say(replies.COMMAND_TOO_LONG)
        elif line[-2:] != b"\r\n" or b"\r" in line[:-2] or b"\0" in line:
            self._say(replies.SYNTAX)  # a bare LF ends no command (M5)
        else:
            self._command(line[:-2])
        return True

    # --- aiosmtpd's own ways
    async def push(self, status: Any) -> None:
        """aiosmtpd's way to say something."""
        self._out.append(status.encode("ascii") + b"\r\n" if isinstance(status, str) else status + b"\r\n")
        self._flush()

    async def handle_exception(self, error: Exception) -> str:
        """aiosmtpd's hook; its own would send the exception's text."""
        log.error("a session failed", exc_info=error)
        return replies.UNSURE.line.decode("ascii").rstrip()

    # --- odd commands, aiosmtpd's way ------------------------------------------------------------------------------
    def _run(self, method: str, argument: str) -> None:
        self._flush()
        self._busy = True
        if self.transport is not None:
            self.transport.pause_reading()
        self._task = self.loop.create_task(self._run_odd(method, argument))

    async def _run_odd(self, method: str, argument: str) -> None:
        try:
            await getattr(self, method)(argument)
        except (TimeoutError, OSError, ssl.SSLError):
            self._close()
        except Exception as error:  # noqa: BLE001 - handle_exception logs it
            self._fail(error)
        if not self._late:
            self._busy = False
            self._resume()

    # --- saying and ending -----------------------------------------------------------------------------------------
    def _say(self, reply: Reply) -> None:
        """Answer, count, and slow down or dismiss a client that makes too many errors."""
        if reply.reason:
            self.server.refused(self, reply)
        if reply.fault:
            self._errors += 1
            if self._errors >= self.limits.errors_hard:
                self._out.append(reply.line)
                self._dismiss(replies.TOO_MANY_ERRORS)
                return
            if self._errors > self.limits.errors_soft:
                self._flush()
                self._busy = self._late = True
                self.loop.call_later(self.limits.tarpit, self._say_late, reply)
                return
        self._out.append(reply.line)

    def _say_late(self, reply: Reply) -> None:
        self._out.append(reply.line)
        self._busy = self._late = False
        self._resume()

    def _resume(self) -> None:
        """Go on after a pause; while the server stops, say so instead."""
        if self.transport is None:
            return
        if self.server.stopping:
            self._dismiss(replies.SHUTTING_DOWN)
        else:
            self.transport.resume_reading()
            self.seen = self.loop.time()
            self._work()
            if self._eof and not self._busy:
                self._close()

    def _fail(self, error: Exception) -> None:
        log.error("a session failed", exc_info=error)
        self._say(replies.UNSURE)
        self._close()  # perhaps out of step: what follows may be the rest of a message

    def dismiss(self, reply: Reply) -> None:
        """Say `reply` and close; for the server's clock and its end."""
        self._dismiss(reply)
        self._flush()

    def _dismiss(self, reply: Reply) -> None:
        if reply.reason:
            self.server.refused(self, reply)
        self._out.append(reply.line)
        self._close()

    def _close(self) -> None:
        self._flush()
        self._closing = True
        self._let_go()
        if self.transport is not None:
            self.transport.close()

    def _flush(self) -> None:
        if self._out and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self._out))
        self._out.clear()
