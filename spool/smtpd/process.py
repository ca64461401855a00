"""The smtpd process: starts its writer and the server, gives signs of life, ends well on SIGTERM.

Without its writer it can promise nothing, so it ends, and whoever watches over it starts both anew.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Sequence

from django.conf import settings

from spool.smtpd import writer
from spool.smtpd.activation import ActivationError, inherited
from spool.smtpd.beat import Beat
from spool.smtpd.courier import Courier
from spool.smtpd.limits import Limits
from spool.smtpd.server import Server
from spool.smtpd.tls import Certificate
from spool.smtpd.view import ViewKeeper
from spool.smtpd.writer import WriterLostError

log = logging.getLogger(__name__)

FIRST_LOOK = 5.0  # seconds to wait for the database before listening without it
# Seconds a thread may keep the interpreter, in the writer too. A commit gives it up six times, and each time would wait
# for the thread beside it, another lane or the one that reads from the sessions, to use up the default 5 ms.
SWITCH_INTERVAL = 0.0005
STOP_WITHIN = 6.5  # of the 8 s in which the process ends
LOST_WITHIN = 1.0  # seconds for the last words to the sessions, when nothing can be kept any more
END_WITHIN = 1.0  # seconds for the interpreter itself


class StartError(Exception):
    """The server cannot start; the text is a sentence for the operator."""


def certificate() -> Certificate | None:
    """Raises StartError if the configured certificate cannot be used."""
    if not settings.SMTP_CERT:
        return None
    try:
        return Certificate(settings.SMTP_CERT, settings.SMTP_KEY)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"EINBOX_SMTP_CERT and EINBOX_SMTP_KEY cannot be used ({type(error).__name__}).") from error


async def serve(host: str, port: int, opened: Sequence[socket.socket], channel: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, on `opened` sockets if there are any. Raises StartError, WriterLostError."""
    loop = asyncio.get_running_loop()
    ended, lost = asyncio.Event(), asyncio.Event()

    def writer_lost() -> None:
        lost.set()
        ended.set()

    views = ViewKeeper()
    views.start()
    server = Server(
        Limits.from_settings(),
        views,
        hostname=settings.SMTP_HOSTNAME,
        commits=lambda report: Courier(report, channel, writer_lost),
        certificate=certificate(),
    )
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    if server.certificate is not None:
        loop.add_signal_handler(signal.SIGHUP, lambda: _reload(server))
    await asyncio.to_thread(views.looked.wait, FIRST_LOOK)
    try:
        address = await server.start(host, port, opened)
    except OSError as error:
        text = f"smtpd cannot listen on {host}:{port} ({error.strerror or type(error).__name__}); set EINBOX_SMTP."
        raise StartError(text) from error
    log.info("smtpd listens on %s:%d", *address)
    beat = Beat(server)
    beat.start()
    await ended.wait()
    await server.stop(seconds=LOST_WITHIN if lost.is_set() else STOP_WITHIN)
    views.stop()
    beat.stop()
    await asyncio.to_thread(beat.join, 1.0)
    if lost.is_set():
        raise WriterLostError("smtpd's writer ended by itself; smtpd ends with it, to be started again.")


def _reload(server: Server) -> None:
    if server.certificate is not None:
        server.certificate.reload_if_changed(force=True)


def run(host: str, port: int) -> None:
    """The process's whole life. Raises StartError, WriterLostError."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        opened = inherited()
    except ActivationError as error:
        raise StartError(str(error)) from error
    gc.collect()
    gc.freeze()  # what was imported lives as long as both processes: collections need not look at it, nor unshare it
    with writer.forked(lanes=settings.SMTPD_COMMITTERS, close=opened) as child:
        status = 1
        try:
            asyncio.run(serve(host, port, opened, child.channel))
            status = 0
        finally:
            _insist(status)


def _insist(status: int) -> None:
    """The process ends now. By itself Python waits for each thread, and one may hang in the content storage."""
    last = threading.Timer(END_WITHIN, os._exit, (status,))
    last.daemon = True
    last.start()
