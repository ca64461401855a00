"""Carries accepted mail from the sessions' process to the writer, and its outcomes back. Runs in the event loop.

All that is submitted in one round of the loop goes in one frame. While the writer does not read, mail waits here, where
a session that was told 451 takes it back; so a writer that hangs costs no more memory than the sessions may use. When
the writer is lost every outcome is None, which a session answers with 451 (rule 1). Touches no database.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from spool.queue import content
from spool.queue.ingest import Incoming, Ready
from spool.smtpd import frames
from spool.smtpd.frames import Forget, Said, Take, Written
from spool.smtpd.job import Job, Outcome, Report
from spool.smtpd.sealer import Sealer

log = logging.getLogger(__name__)

FRAME = 2**20  # octets of mail, after which a frame is full
GONE = Incoming(b"", ())  # stands for a message whose octets the writer has


class Courier(asyncio.Protocol):
    """Commits by the writer at the other end of `channel`. `lost` is called once, if that ends by itself."""

    def __init__(self, report: Report, channel: socket.socket, lost: Callable[[], None]) -> None:
        self._report = report
        self._channel = channel
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._sealer = Sealer(self._loop)
        self._reader = frames.Reader()
        self._transport: asyncio.Transport | None = None
        self._sealing: set[Job] = set()
        self._waiting: dict[Job, Ready] = {}  # sealed, not sent
        self._sent: dict[int, Job] = {}
        self._forgotten: list[Forget] = []
        self._numbers = 0
        self._due = self._paused = self._stopping = False
        self._ended = asyncio.Event()

    # --- what the server asks ------------------------------------------------------------------------------------
    async def start(self) -> None:
        await self._loop.create_unix_connection(lambda: self, sock=self._channel)

    def submit(self, job: Job) -> None:
        if self._ended.is_set():
            self._loop.call_soon(self._report, [(job, None)])
            return
        self._sealing.add(job)
        self._sealer.seal(job.incoming, lambda ready: self._sealed(job, ready))

    def cancel(self, job: Job) -> None:
        """Its sender was told 451: it need not be written, and must not wait here."""
        job.cancelled = True
        ready = self._waiting.pop(job, None)
        if ready is not None:
            content.discard(ready.content)
        elif job.number in self._sent:  # perhaps it is being written: its outcome still comes
            self._forgotten.append(Forget(job.number))
            self._soon()

    async def stop(self, *, timeout: float) -> None:
        """Have the writer finish what it was given, for as long as `timeout`."""
        self._stopping = True
        self._send()
        self._drop()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()
        try:
            await asyncio.wait_for(self._ended.wait(), timeout)
        except TimeoutError:
            log.warning("the writer did not finish in time")
        self._sealer.stop()
        if self._transport is not None:
            self._transport.abort()

    # --- the transport's calls -----------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(FRAME)

    def data_received(self, data: bytes) -> None:
        outcomes: list[Outcome] = []
        for said in self._reader.feed(data):
            job = self._sent.pop(said.number, None)
            if job is not None and isinstance(said, Written):
                outcomes.append((job, said.stored))
        if outcomes:
            self._report(outcomes)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended.set()
        if self._stopping:
            return
        pending = [*self._sealing, *self._waiting, *self._sent.values()]
        log.error("the writer is lost, with %d messages in doubt", len(pending))
        self._drop()
        self._sent.clear()
        self._report([(job, None) for job in pending])
        self._lost()

    # --- between them --------------------------------------------------------------------------------------------
    def _sealed(self, job: Job, ready: Ready | None) -> None:
        if job not in self._sealing or job.cancelled or ready is None:
            if ready is not None:
                content.discard(ready.content)
            if job in self._sealing:
                self._sealing.remove(job)
                self._loop.call_soon(self._report, [(job, None)])
            return
        self._sealing.remove(job)
        self._waiting[job] = ready
        self._soon()

    def _drop(self) -> None:
        """Let go of what was not sent, and will not be any more."""
        for ready in self._waiting.values():
            content.discard(ready.content)
        self._waiting.clear()
        self._forgotten.clear()
        self._sealing.clear()

    def _soon(self) -> None:
        """Once in this round of the loop, when its sessions have had their turn."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._due = False
        while (self._waiting or self._forgotten) and not self._paused and self._transport is not None:
            if self._transport.is_closing():
                return
            self._transport.write(frames.pack(self._frame()))

    def _frame(self) -> list[Said]:
        said: list[Said] = [*self._forgotten]
        self._forgotten.clear()
        octets = 0
        while self._waiting and octets < FRAME:
            job = next(iter(self._waiting))
            ready = self._waiting.pop(job)
            self._numbers += 1
            job.number = self._numbers
            self._sent[job.number] = job
            job.incoming = GONE
            octets += job.size
            said.append(Take(job.number, ready))
        return said
