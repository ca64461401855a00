"""The smtpd process: starts the server, gives signs of life, ends well on SIGTERM."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import threading
import time
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from spool.models import Heartbeat, Route
from spool.smtpd.limits import Limits
from spool.smtpd.server import Server
from spool.smtpd.tls import Certificate
from spool.smtpd.view import ViewKeeper

log = logging.getLogger(__name__)

SERVICE = "smtpd"
HEARTBEAT_EVERY = 2.0  # seconds
COUNTERS_EVERY = 5.0
STOP_WITHIN = 6.5  # of the 8 s in which the process ends


class StartError(Exception):
    """The server cannot start; the text is a sentence for the operator."""


class Beat(threading.Thread):
    """Writes signs of life, counts, and which primaries should be probed. Never holds up a session."""

    def __init__(self, server: Server) -> None:
        super().__init__(name="smtpd-beat", daemon=True)
        self._server = server
        self._stopping = threading.Event()
        self._name = f"{SERVICE}:{socket.gethostname()}:{os.getpid()}"[:255]
        self._beaten = self._counted = float("-inf")

    def run(self) -> None:
        try:
            while not self._stopping.wait(0.2):
                self._guarded(ending=False)
            self._guarded(ending=True)
        finally:
            connection.close()

    def stop(self) -> None:
        self._stopping.set()

    def _guarded(self, *, ending: bool) -> None:
        try:
            self._step(time.monotonic(), ending=ending)
        except DatabaseError as error:
            log.info("a sign of life could not be written: %s", type(error).__name__)
            connection.close()
            self._stopping.wait(1.0)

    def _step(self, now: float, *, ending: bool) -> None:
        self._ask_for_probes()
        if ending:
            Heartbeat.objects.filter(name=self._name).delete()
        elif now - self._beaten >= HEARTBEAT_EVERY:
            Heartbeat.objects.update_or_create(name=self._name, defaults={"service": SERVICE, "at": timezone.now()})
            self._beaten = now
        if ending or now - self._counted >= COUNTERS_EVERY:
            self._server.counters.flush()
            self._counted = now

    def _ask_for_probes(self) -> None:
        """At most once a second for each route, over all processes."""
        wanted = [self._server.wanted.pop() for _ in range(len(self._server.wanted))]
        if not wanted:
            return
        now = timezone.now()
        recently = now - timedelta(seconds=1)
        Route.objects.filter(pk__in=wanted).exclude(probe_wanted_at__gt=recently).update(probe_wanted_at=now)


def certificate() -> Certificate | None:
    """Raises StartError if the configured certificate cannot be used."""
    if not settings.SMTP_CERT:
        return None
    try:
        return Certificate(settings.SMTP_CERT, settings.SMTP_KEY)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"EINBOX_SMTP_CERT and EINBOX_SMTP_KEY cannot be used ({type(error).__name__}).") from error


async def serve(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartError."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    views = ViewKeeper()
    views.start()
    server = Server(
        Limits.from_settings(),
        views,
        hostname=settings.SMTP_HOSTNAME,
        certificate=certificate(),
        lanes=settings.SMTPD_COMMITTERS,
    )
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    if server.certificate is not None:
        loop.add_signal_handler(signal.SIGHUP, lambda: _reload(server))
    try:
        address = await server.start(host, port)
    except OSError as error:
        text = f"smtpd cannot listen on {host}:{port} ({error.strerror or type(error).__name__}); set EINBOX_SMTP."
        raise StartError(text) from error
    log.info("smtpd listens on %s:%d", *address)
    beat = Beat(server)
    beat.start()
    await ended.wait()
    await server.stop(seconds=STOP_WITHIN)
    views.stop()
    beat.stop()
    await asyncio.to_thread(beat.join, 1.0)


def _reload(server: Server) -> None:
    if server.certificate is not None:
        server.certificate.reload_if_changed(force=True)


def run(host: str, port: int) -> None:
    """The process's whole life. Raises StartError."""
    asyncio.run(serve(host, port))
