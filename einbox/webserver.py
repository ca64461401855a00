"""The web process: Granian serves the WSGI application, static files included (WhiteNoise).

Granian's worker processes are bound to this process, so that none outlives it.
"""

import http.client
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from einbox.env import HostPort, SettingsError
from einbox.process import end_with
from einbox.simulation.organisation import refuse_exposure

BACKLOG = 1024
RESPAWN_SECONDS = 0.5  # a worker that dies twice within this ends the web process; the supervisor starts it again
KILL_SECONDS = 2
ANSWER_SECONDS = 0.5
HEADER_MILLISECONDS = 10_000  # a request's head must have arrived by then


def answers(address: HostPort, *, tls: bool) -> bool:
    """Whether a web server on this machine answers a request, with whatever; waits a moment at most."""
    unverified = ssl._create_unverified_context() if tls else None  # noqa: SLF001, S323 - asks ourselves, tells nothing
    there: http.client.HTTPConnection
    if unverified:
        there = http.client.HTTPSConnection(address.host, address.port, timeout=ANSWER_SECONDS, context=unverified)
    else:
        there = http.client.HTTPConnection(address.host, address.port, timeout=ANSWER_SECONDS)
    try:
        there.request("GET", "/healthz")
        there.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        there.close()
    return True


def serve() -> None:
    """Serve until SIGTERM. Raises SettingsError for a certificate that cannot be read, or exposed demo accounts."""
    parent = os.getpid()

    def load(_target: str) -> Callable[..., Any]:
        """Runs in each worker process before its first request."""
        end_with(parent)
        from einbox.wsgi import application  # noqa: PLC0415 - loaded in the worker, not in its parent

        return application

    refuse_exposure()
    connections.close_all()  # a worker must not inherit an open connection
    _server().serve(target_loader=load)


def _server() -> MPServer:
    try:
        return MPServer(
            "einbox.wsgi:application",
            address=settings.WEB.host,
            port=settings.WEB.port,
            interface=Interfaces.WSGI,
            http=HTTPModes.auto if settings.TLS_CERT else HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS),
            websockets=False,
            workers=settings.WEB_WORKERS,
            blocking_threads=settings.WEB_THREADS,
            backlog=BACKLOG,
            ssl_cert=Path(settings.TLS_CERT) if settings.TLS_CERT else None,
            ssl_key=Path(settings.TLS_KEY) if settings.TLS_KEY else None,
            log_level=LogLevels.error,
            respawn_failed_workers=True,
            respawn_interval=RESPAWN_SECONDS,
            workers_kill_timeout=KILL_SECONDS,
        )
    except (OSError, ValueError) as error:
        message = f"EINBOX_TLS_CERT or EINBOX_TLS_KEY cannot be used ({error}); both must be PEM, the key PKCS #8."
        raise SettingsError(message) from error
