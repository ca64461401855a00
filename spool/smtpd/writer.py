"""The process that writes: a child of smtpd which gets sealed mail, commits it in groups, and says what became of it.

It is forked before the first thread, event loop or database connection, so that sessions and commits do not share one
interpreter. It ends when the other end of its socket is closed, whoever closed it: a killed smtpd leaves no writer
behind. Signals that stop a whole process group are not for it; it finishes first what the sessions still bring.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from django.db import connections

from spool.smtpd import frames
from spool.smtpd.committer import Committer
from spool.smtpd.frames import Forget, Take, Written

log = logging.getLogger(__name__)

FINISH = 4.0  # seconds for what is pending when nobody waits for it any more
NOT_FOR_US = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class WriterLostError(Exception):
    """The writer ended by itself; the text is a sentence for the operator."""


@dataclass(frozen=True)
class Writer:
    """The child, and our end of the socket to it."""

    pid: int
    channel: socket.socket


@contextmanager
def forked(*, lanes: int, close: Sequence[socket.socket] = ()) -> Iterator[Writer]:
    """A writer, until the block ends. `close`: what the child must not keep open. To be called before all else."""
    connections.close_all()
    # Some launchers have the kernel reap children: then the number of a writer that ended could be somebody else's.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        for opened in (ours, *close):
            opened.close()
        _live(theirs, lanes)
    theirs.close()
    try:
        yield Writer(pid, ours)
    finally:
        ours.close()
        with suppress(ProcessLookupError):  # by now it has ended, or is hanging
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _live(channel: socket.socket, lanes: int) -> None:
    """The child's whole life; never returns."""
    status = 1
    try:
        for number in NOT_FOR_US:
            signal.signal(number, signal.SIG_IGN)
        threading.excepthook = _end
        serve(channel, lanes=lanes)
        status = 0
    except BaseException:
        log.exception("the writer failed")
    finally:
        os._exit(status)


def _end(failed: threading.ExceptHookArgs) -> None:
    """A thread that nobody expected to fail takes the process with it: without it senders would wait for nothing."""
    try:
        log.error("a thread of the writer failed: %s", failed.exc_type.__name__, exc_info=failed.exc_value)
    finally:
        os._exit(1)


def serve(channel: socket.socket, *, lanes: int) -> None:
    """Write what comes through `channel` until its end. Raises OSError."""
    saying = threading.Lock()

    def report(written: Sequence[Written]) -> None:
        octets = frames.pack(written)
        with saying, suppress(OSError):  # nobody listens: what was committed merges when its sender comes again
            channel.sendall(octets)

    committer = Committer(report, lanes=lanes)
    committer.begin()
    with channel.makefile("rb") as stream:
        while (said := frames.read(cast("BinaryIO", stream))) is not None:
            for one in said:
                if isinstance(one, Take):
                    committer.submit(one)
                elif isinstance(one, Forget):
                    committer.cancel(one.number)
    committer.finish(timeout=FINISH)
