"""A whole SMTP session without a socket, a database or real time: the product's Server and Connection between doubles.

The loop is asyncio's with a clock that jumps to the next timer; the pipe stands for the socket; the keeper for the
committer. A fault that the session answers with 451 and hides is found in its log.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from spool.enums import RecipientPolicy, RouteState, WhileUp
from spool.queue.addresses import Directory, DomainEntry
from spool.queue.ingest import Incoming, Stored
from spool.smtpd.job import Job, Report
from spool.smtpd.limits import Limits
from spool.smtpd.server import READ, Server
from spool.smtpd.view import RouteView, View
from spool.smtpd.wire import PIPELINE, Wire
from tests.fuzz.target import Fault, check

HOST = "einbox.test"
PEER = "192.0.2.7"
NOW = 1_800_000_000.0  # Unix time
DOMAINS = {
    "example.test": DomainEntry("example.test", 1, RecipientPolicy.REJECT),
    "later.test": DomainEntry("later.test", 1, RecipientPolicy.DEFER),
    "box.test": DomainEntry("box.test", 1, RecipientPolicy.DROPBOX, dropbox_id=9),
    "open.test": DomainEntry("open.test", 1, RecipientPolicy.ACCEPT),
    "up.test": DomainEntry("up.test", 2, RecipientPolicy.ACCEPT),
    "relay.test": DomainEntry("relay.test", 2, RecipientPolicy.ACCEPT, while_up=WhileUp.RELAY),
    "lost.test": DomainEntry("lost.test", 3, RecipientPolicy.ACCEPT),
}
VIEW = View(
    Directory(DOMAINS, {"anna@example.test": 1, "@up.test": 2}, frozenset({"old@example.test"})),
    {1: RouteView(1, RouteState.DOWN), 2: RouteView(2, RouteState.UP, NOW)},
)
SMALL = Limits(
    message_size=2_000, recipients=3, commands=12, errors_soft=4, errors_hard=8, harvest=6, line=300, command_line=512,
    memory=4_000, disk_floor=0, hops=4, own_hops=1,
)  # fmt: skip
TURNS = 200  # of the loop, after which a session that has not come to rest never will
KEEP, DOUBT, SILENCE = range(3)  # what the keeper does with a message


class Loop(asyncio.SelectorEventLoop):
    """One turn at a time; time stands still until nothing else is left to do."""

    # The base class's own, which its stubs leave out: there is no other way to tell whether anything is left to do.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.faults: list[str] = []
        self.set_exception_handler(lambda _loop, context: self.faults.append(str(context.get("exception"))))

    def time(self) -> float:
        return self.now

    async def start_tls(self, transport: Any, *_args: Any, **_options: Any) -> Any:
        transport.secured = True
        transport.resume_reading()
        return transport

    def turn(self, *, jump: bool) -> bool:
        """Run what is ready; else, if `jump`, go on to the next timer. False when there was nothing to do."""
        if not self._ready:
            timers = [one for one in self._scheduled if not one.cancelled()]
            if not timers or not jump:
                return False
            self.now = max(self.now, min(one.when() for one in timers))
        self.call_soon(self.stop)
        self.run_forever()
        return True

    def forget(self) -> None:
        """Leave nothing of one session to the next."""
        self._ready.clear()
        self._scheduled.clear()
        self.now = 1_000.0
        self.faults.clear()


class Layer:
    """What a session asks of its TLS layer."""

    def version(self) -> str:
        return "TLSv1.3"

    def cipher(self) -> tuple[str]:
        return ("TLS_AES_256_GCM_SHA384",)


class Pipe(asyncio.Transport):
    """The server's end of a connection."""

    def __init__(self, loop: Loop, peer: str) -> None:
        super().__init__()
        self.loop, self.peer = loop, peer
        self.out = bytearray()
        self.reading, self.closing, self.secured = True, False, False
        self.protocol: asyncio.BaseProtocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known = {"peername": (self.peer, 40_000), "ssl_object": Layer() if self.secured else None}
        return known.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
        if not self.closing:
            self.out += data

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class Keeper:
    """Commits in memory: keeps every message in a list, and says of each what it was told to say."""

    def __init__(self, report: Report, outcome: int) -> None:
        self.report, self.outcome, self.loop = report, outcome, asyncio.get_running_loop()
        self.kept: list[Incoming] = []

    def submit(self, job: Job) -> None:
        self.kept.append(job.incoming)
        if self.outcome != SILENCE:
            stored = Stored(len(self.kept), (len(self.kept),)) if self.outcome == KEEP else None
            self.loop.call_soon(self.report, [(job, stored)])

    async def start(self) -> None:
        """Nothing to start."""

    def cancel(self, job: Job) -> None:
        """What is kept is kept."""

    async def stop(self, *, timeout: float) -> None:
        """Nothing to stop."""


class _Views:
    view = VIEW


class _Certificate:
    context = object()

    def reload_if_changed(self) -> None:
        """It never changes."""


class _Log(logging.Handler):
    """Collects what the session hides from its client."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.lines.append(f"{record.getMessage()}: {error!r}")


_log = _Log()


@cache
def _shared_loop() -> Loop:
    """A loop costs more than a session."""
    return Loop()


@contextmanager
def listening() -> Iterator[None]:
    """While this lasts, what the server logs is heard by the rig alone, which is quick; then all is as before."""
    logger = logging.getLogger("spool.smtpd")
    before = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(_log)
    try:
        yield
    finally:
        logger.removeHandler(_log)
        logger.propagate = before[1]
        logger.setLevel(before[0])


class _Server(Server):
    """Its clock stands still."""

    @staticmethod
    def clock() -> float:
        return NOW


class Rig:
    """One session, to be used within `listening`. `say` hands octets over as they would arrive, and returns replies."""

    def __init__(self, *, outcome: int = KEEP, tls: bool = False, limits: Limits = SMALL, peer: str = PEER) -> None:
        self.loop = _shared_loop()
        self.loop.forget()
        self.keeper: Keeper
        self.server = self.loop.run_until_complete(self._make(limits, tls, outcome))
        _log.lines.clear()
        self.pipe = Pipe(self.loop, peer)
        self.pipe.protocol = self.server._session()
        self.heard = 0
        self.pipe.protocol.connection_made(self.pipe)
        self.settle()

    async def _make(self, limits: Limits, tls: bool, outcome: int) -> Server:
        views: Any = _Views()
        certificate: Any = _Certificate() if tls else None

        def keeper(report: Report) -> Keeper:
            self.keeper = Keeper(report, outcome)
            return self.keeper

        return _Server(limits, views, hostname=HOST, commits=keeper, certificate=certificate)

    @property
    def connection(self) -> Any:
        return self.pipe.protocol

    @property
    def closed(self) -> bool:
        return self.pipe.closing

    def settle(self) -> None:
        """Let the session work until it waits for its client."""
        for _ in range(TURNS):
            # A session that works on something waits for its own timers; one that listens has a client to wait for.
            if not self.loop.turn(jump=getattr(self.connection, "_busy", False)):
                if getattr(self.connection, "job", None) is None:
                    break
                self.loop.now += self.server.limits.commit + 1  # the committer is silent
                self.server.tick(self.loop.now)
        else:
            raise Fault("the session never comes to rest")
        check(not self.loop.faults, "an exception in the loop", self.loop.faults)
        check(not _log.lines, "a fault hidden behind a reply", _log.lines)

    def hear(self) -> bytes:
        """What was said since the last call."""
        said = bytes(self.pipe.out[self.heard :])
        self.heard += len(said)
        return said

    def say(self, octets: bytes) -> bytes:
        """Raises Fault if the session is stuck: it neither reads nor has anything to wait for."""
        if not self.closed:
            check(self.pipe.reading, "the session stopped reading for good")
            self._feed(octets)
            self.settle()
            waiting = getattr(self.connection, "_data", b"")
            check(len(waiting) <= PIPELINE + len(octets), "octets pile up", len(waiting))
        return self.hear()

    def _feed(self, octets: bytes) -> None:
        """Hand octets over as a transport does."""
        session = self.connection
        if not isinstance(session, Wire):
            session.data_received(octets)
            return
        for start in range(0, len(octets), READ):
            part = octets[start : start + READ]
            session.get_buffer(-1)[: len(part)] = part
            session.buffer_updated(len(part))

    def leave(self) -> bytes:
        """The client sends no more, then goes; nothing of it may remain. Returns the last words."""
        if not self.closed and not self.connection.eof_received():
            self.pipe.close()
        self.settle()
        if not self.closed:
            self.pipe.close()
            self.settle()
        server = self.server
        check(server.in_flight == 0, "memory is still counted after the end", server.in_flight)
        check(not server.connections and not server._per_client, "a session is still counted after its end")
        check(not server.waiting, "a proxy's connection is still counted after its end")
        return self.hear()
