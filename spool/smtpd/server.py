"""All sessions of one process: admission, the shared picture, the clock that ends what takes too long, the end.

Runs in the event loop. The database is touched only by what it is given: the view's thread, and whoever commits.
"""

import asyncio
import logging
import shutil
import socket
import ssl
import time
from collections import Counter as Counts
from collections.abc import Callable, Sequence
from pathlib import Path

from django.conf import settings

from spool.ids import encode
from spool.queue.ingest import Stored
from spool.smtpd import replies
from spool.smtpd.connection import Connection
from spool.smtpd.counters import Counters
from spool.smtpd.harvest import Harvest
from spool.smtpd.job import Commits, Job, Outcome, Report
from spool.smtpd.limits import Limits
from spool.smtpd.policy import PutOff
from spool.smtpd.proxied import Proxied
from spool.smtpd.replies import Reply
from spool.smtpd.tls import Certificate
from spool.smtpd.view import View, ViewKeeper
from spool.smtpd.wire import Wire

log = logging.getLogger(__name__)

TICK = 0.5  # seconds
READ = 256 * 2**10  # octets read at once; less makes a large mail dearer
EVERYWHERE = ("::", "0.0.0.0")  # noqa: S104 - asyncio keeps IPv4 out of a socket for IPv6, so each has its own
BACKLOG = 1024  # connections the kernel keeps until they are accepted


class Server:
    """State that sessions share. Made inside a running event loop."""

    def __init__(
        self,
        limits: Limits,
        views: ViewKeeper,
        *,
        hostname: str,
        commits: Callable[[Report], Commits],
        certificate: Certificate | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.views = views
        self.hostname = hostname
        self.certificate = certificate
        self.counters = Counters()
        self.put_off = PutOff()
        self.harvest = Harvest(limits.harvest)
        self.commits = commits(self._finish)
        self.buffer = memoryview(bytearray(READ))  # what any session reads passes through it
        self.stopping = False
        self.low_on_disk = False
        self.unwritten = 0  # mails put off since the last one that was written,
        self.unwritten_at = 0.0  # and the loop time when the last of them was
        self.in_flight = 0  # octets of memory that mail takes
        self.wanted: set[int] = set()  # routes whose primary should be probed
        self.connections: set[Wire] = set()
        self.waiting: set[Proxied] = set()  # connections of proxies that have not named their client yet
        self._per_client: Counts[str] = Counts()
        self._jobs: dict[Job, Wire] = {}
        self._listeners: list[asyncio.Server] = []
        self._ticker: asyncio.Task[None] | None = None
        self.greeting = replies.greeting(hostname)
        self.helo = replies.helo(hostname)
        self.recipient_ok = replies.RECIPIENT_OK.line

    # --- what sessions ask -----------------------------------------------------------------------------------
    @property
    def view(self) -> View | None:
        return self.views.view

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        return self.certificate.context if self.certificate else None

    @staticmethod
    def clock() -> float:
        """Unix time."""
        return time.time()

    def ehlo(self, *, tls: bool) -> bytes:
        offer = self.tls_context is not None and not tls
        return replies.ehlo(self.hostname, size_limit=self.limits.message_size, starttls=offer)

    def accepted(self, stored: Stored, job: Job) -> bytes:
        self.counters.add("accepted")
        self.counters.add("accepted.recipients", job.recipients)
        if stored.merged_ids:
            self.counters.add("merged", len(stored.merged_ids))
        return replies.accepted(encode(stored.message_id)).line

    def full(self, size: int) -> bool:
        """Whether a message of (declared) `size` has no room in memory or on the disk."""
        return self.low_on_disk or self.in_flight + size > self.limits.memory

    def admit(self, connection: Wire) -> bool:
        """Count a new session; False: one too many (it is counted until it has left)."""
        self.connections.add(connection)
        self._per_client[connection.client] += 1
        return (
            not self.stopping
            and len(self.connections) <= self.limits.sessions
            and self._per_client[connection.client] <= self.limits.sessions_per_client
        )

    def left(self, connection: Wire) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self._per_client[connection.client] -= 1
            if not self._per_client[connection.client]:
                del self._per_client[connection.client]

    def refused(self, connection: Wire, reply: Reply) -> None:
        """Count and log a refusal, without a word of the mail."""
        self.counters.add(f"refused.{reply.reason}")
        log.info("refused: %s (%d %s) for %s", reply.reason, reply.code, reply.enhanced, connection.peer)

    def arrived(self, route_id: int) -> None:
        """A sender came for this route: its primary deserves a look (written by the process's heartbeat)."""
        self.wanted.add(route_id)

    def submit(self, job: Job, connection: Wire) -> None:
        self._jobs[job] = connection
        self.commits.submit(job)

    # --- what becomes of it ------------------------------------------------------------------------------------
    def _finish(self, outcomes: Sequence[Outcome]) -> None:
        for job, stored in outcomes:
            connection = self._jobs.pop(job, None)
            if stored is not None:
                self.unwritten = 0
            elif connection is not None:
                self._not_written(self.loop.time())
            if connection is not None and connection.job is job:
                connection.finished(stored)

    def _not_written(self, now: float) -> None:
        self.unwritten, self.unwritten_at = self.unwritten + 1, now

    # --- the clock ---------------------------------------------------------------------------------------------
    async def _tick(self) -> None:
        while True:
            try:
                self.tick(self.loop.time())
            except Exception:
                log.exception("the clock failed")
            await asyncio.sleep(TICK)

    def tick(self, now: float) -> None:
        """End what takes too long; look at disk and certificate."""
        for connection in list(self.connections):
            if connection.job is not None:
                self._late_commit(connection, connection.job, now)
            elif connection.scanner is not None:
                self._slow_data(connection, connection.scanner.received, now)
            elif now - connection.seen > self.limits.idle:
                connection.dismiss(replies.IDLE)
        self.low_on_disk = self._room() < self.limits.room
        if self.certificate is not None:
            self.certificate.reload_if_changed()

    def _late_commit(self, connection: Wire, job: Job, now: float) -> None:
        """The database does not answer: the sender hears 451 now; if the mail is kept after all, its retry merges."""
        if now - job.since > self.limits.commit:
            self._jobs.pop(job, None)
            self._not_written(now)
            self.commits.cancel(job)
            connection.finished(None)

    def _slow_data(self, connection: Wire, received: int, now: float) -> None:
        allowed = self.limits.data_grace + received / self.limits.data_rate if self.limits.data_rate else float("inf")
        if now - connection.seen > self.limits.data_idle:
            connection.dismiss(replies.IDLE)
        elif now - connection.data_since > allowed:
            connection.dismiss(replies.TOO_SLOW)

    @staticmethod
    def _room() -> int:
        """Free octets where the state lies; a place that cannot be asked has none."""
        try:
            return shutil.disk_usage(Path(settings.HOME)).free
        except OSError:
            return 0

    # --- begin and end -----------------------------------------------------------------------------------------
    async def start(self, host: str, port: int, inherited: Sequence[socket.socket] = ()) -> tuple[str, int]:
        """Listen on `inherited` sockets, else on host and port, which several processes may share.

        Returns the (first) address. Raises OSError.
        """
        self.tick(self.loop.time())
        for opened in inherited:
            self._listeners.append(await self.loop.create_server(self._session, sock=opened, backlog=BACKLOG))
        if not inherited:
            shared = hasattr(socket, "SO_REUSEPORT")
            hosts = EVERYWHERE if host == "::" else host
            listener = await self.loop.create_server(self._session, hosts, port, reuse_port=shared, backlog=BACKLOG)
            self._listeners.append(listener)
        await self.commits.start()
        self._ticker = self.loop.create_task(self._tick())
        address = self._listeners[0].sockets[0].getsockname()
        return address[0], address[1]

    def _session(self) -> asyncio.Protocol:
        return Proxied(self) if self.limits.proxies else Connection(self)

    async def stop(self, *, seconds: float) -> None:
        """Stop listening, finish what is in DATA or being committed, say 421 to the rest; cut after `seconds`."""
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        for proxied in list(self.waiting):
            proxied.close()
        deadline = self.loop.time() + seconds
        for connection in list(self.connections):
            if connection.job is None and connection.scanner is None:
                connection.dismiss(replies.SHUTTING_DOWN)
        while self.connections and self.loop.time() < deadline:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.abort()
        if self._ticker is not None:
            self._ticker.cancel()
        await self.commits.stop(timeout=max(0.1, deadline + 1 - self.loop.time()))
