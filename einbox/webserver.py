"""The web process: Granian serves the WSGI application, static files included (WhiteNoise).

Granian's worker processes are bound to this process, so that none outlives it. They read the certificate when they
start; a renewed one reaches people by fresh workers, one after the other.
"""

import http.client
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from einbox import certificates
from einbox.env import HostPort, SettingsError
from einbox.process import end_with
from einbox.simulation.organisation import refuse_exposure
from spool.renewals import Renewals

log = logging.getLogger(__name__)

BACKLOG = 1024
RESPAWN_SECONDS = 0.5  # a worker that dies twice within this ends the web process; the supervisor starts it again
KILL_SECONDS = 2
ANSWER_SECONDS = 0.5
HEADER_MILLISECONDS = 10_000  # a request's head must have arrived by then
TLS_MINIMUM = SSLProtocols.tls13
RENEWAL_SECONDS = 5.0  # between two looks at the files of the certificate


def answers(address: HostPort, *, tls: bool, host: str = "localhost", within: float = ANSWER_SECONDS) -> str | None:
    """What a web server here says of itself when it is asked for /healthz of `host`: "ok" is ours. None: none answers.

    Waits `within` seconds for each step.
    """
    unverified = ssl._create_unverified_context() if tls else None  # noqa: SLF001, S323 - asks ourselves, tells nothing
    there: http.client.HTTPConnection
    if unverified:
        there = http.client.HTTPSConnection(address.host, address.port, timeout=within, context=unverified)
    else:
        there = http.client.HTTPConnection(address.host, address.port, timeout=within)
    try:
        there.request("GET", "/healthz", headers={"Host": f"[{host}]" if ":" in host else host.encode("idna").decode()})
        answer = there.getresponse()
        return (
            answer.read(64).decode("ascii", "replace").strip() if answer.status == HTTPStatus.OK else str(answer.status)
        )
    except (OSError, http.client.HTTPException, UnicodeError):
        return None
    finally:
        there.close()


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
    renewals = Renewals(settings.TLS_CERT, settings.TLS_KEY)
    server = _server()
    if settings.TLS_CERT:
        threading.Thread(target=_follow_renewals, args=(server, renewals), daemon=True, name="certificate").start()
    server.serve(target_loader=load)


def _follow_renewals(server: MPServer, renewals: Renewals) -> None:
    """Let fresh workers take over when the files have changed; an unusable pair changes nothing."""

    def use() -> None:
        certificates.check("EINBOX_TLS", settings.TLS_CERT, settings.TLS_KEY, web=True)
        # Again, for the server remembers where links led.
        server.build_ssl_context(Path(settings.TLS_CERT), Path(settings.TLS_KEY), None, TLS_MINIMUM, None, [], False)

    while True:
        time.sleep(RENEWAL_SECONDS)
        if renewals.follow(use, refusals=(SettingsError, OSError)):
            log.info("the certificate has changed; fresh workers take over")
            server.signal_handler_reload()  # type: ignore[no-untyped-call]


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
            ssl_protocol_min=TLS_MINIMUM,
            log_level=LogLevels.error,
            respawn_failed_workers=True,
            respawn_interval=RESPAWN_SECONDS,
            workers_kill_timeout=KILL_SECONDS,
        )
    except (OSError, ValueError) as error:
        message = f"EINBOX_TLS_CERT or EINBOX_TLS_KEY cannot be used ({error}); both must be PEM, the key PKCS #8."
        raise SettingsError(message) from error
