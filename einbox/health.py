"""Liveness, readiness and metrics for operators; may ask every room, changes nothing.

`/readyz` answers 503 only for what stops capture or reading: database, migrations, smtpd, watch. A missing
broker or worker delays work (rule 4), one of several smtpd or watch that hangs leaves the others, and an audit log that
does not hold stops no mail: degraded, with 200.
"""

import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from audit.verification import standing
from einbox.first_start import migrations_pending
from einbox.metrics import exposition
from spool.models import Heartbeat
from spool.queue.heartbeats import FORGET_AFTER

ALIVE_FOR = timedelta(seconds=30)  # smtpd and watch give a sign of life every few seconds
WORKER_ALIVE_FOR = timedelta(seconds=60)
ONE_BY_ONE = ("smtpd", "watch")  # each process gives signs; of workers only the one that happens to be asked
BROKER_SECONDS = 1.0

OK, DEGRADED, FAILED = "ok", "degraded", "failed"


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers; nothing else is asked."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether this installation can take and show mail, part by part. Names no host, no version, no secret."""
    checks = readiness(now=timezone.now())
    states = set(checks.values())
    overall = FAILED if FAILED in states else DEGRADED if DEGRADED in states else OK
    return JsonResponse({"status": overall, "checks": checks}, status=503 if overall == FAILED else 200)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text, for the holder of EINBOX_METRICS_TOKEN; for everybody else there is no such page."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = settings.METRICS_TOKEN
    if not expected or scheme != "Bearer" or not hmac.compare_digest(token.encode(), expected.encode()):
        raise Http404
    body, content_type = exposition(now=timezone.now())
    return HttpResponse(body, content_type=content_type)


def readiness(*, now: datetime) -> dict[str, str]:
    """State of each part. A part that cannot be asked because the database is away counts as failed."""
    checks: dict[str, Callable[[], str]] = {
        "database": _database,
        "migrations": _migrations,
        "smtpd": lambda: _alive("smtpd", now, ALIVE_FOR, FAILED),
        "watch": lambda: _alive("watch", now, ALIVE_FOR, FAILED),
        "worker": lambda: _alive("worker", now, WORKER_ALIVE_FOR, DEGRADED),
        "broker": _broker,
        "audit": lambda: OK if standing(now=now).ok else DEGRADED,
    }
    return {name: _guarded(check) for name, check in checks.items()}


def silent(service: str, *, now: datetime) -> list[tuple[str, timedelta]]:
    """Processes that neither ended nor gave a sign of life for longer than ALIVE_FOR, and for how long."""
    if service not in ONE_BY_ONE:
        return []
    between = Heartbeat.objects.filter(service=service, at__gte=now - FORGET_AFTER, at__lt=now - ALIVE_FOR)
    return [(name, now - at) for name, at in between.order_by("at").values_list("name", "at")]


def _guarded(check: Callable[[], str]) -> str:
    try:
        return check()
    except DatabaseError:
        return FAILED


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    return OK


def _migrations() -> str:
    return FAILED if migrations_pending() else OK


def _alive(service: str, now: datetime, within: timedelta, otherwise: str) -> str:
    if not Heartbeat.objects.filter(service=service, at__range=(now - within, now + within)).exists():
        return otherwise
    return DEGRADED if silent(service, now=now) else OK


def _broker() -> str:
    if urlsplit(settings.BROKER_URL).scheme == "memory":
        return OK
    import redis  # noqa: PLC0415 - only where Redis is used

    client = redis.Redis.from_url(
        settings.BROKER_URL, socket_connect_timeout=BROKER_SECONDS, socket_timeout=BROKER_SECONDS
    )
    try:
        client.ping()
    except redis.RedisError:
        return DEGRADED
    finally:
        client.close()
    return OK
