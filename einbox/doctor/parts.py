"""Whether the processes run: what `/readyz` asks, when each was last seen, and the pages themselves."""

from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db.models import Max

from einbox.finding import FAIL, OK, WARN, Finding
from einbox.health import readiness, silent
from einbox.webserver import answers
from spool.models import Heartbeat

PAGES_SECONDS = 5.0


def processes(now: datetime) -> Iterator[Finding]:
    words = {"ok": OK, "degraded": WARN, "failed": FAIL}
    parts = readiness(now=now)
    parts.pop("audit")  # told with its cause by history.history
    yield _pages()
    signs: dict[str, datetime] = {}
    if parts["database"] == "ok":
        signs = dict(Heartbeat.objects.order_by().values_list("service").annotate(at=Max("at")))
    for name, state in parts.items():
        sentence = f"{name} answers." if state == "ok" else f"{name} does not answer; is `manage.py up` running?"
        if name in signs:
            sentence = _last_sign(name, state, signs[name], now)
        if name == "migrations":
            sentence = "The database is of this version." if state == "ok" else "`manage.py migrate` must run."
        if name == "broker" and settings.BROKER_URL.startswith("memory:"):
            sentence = "The broker is part of the worker (memory://): there is none to ask."
        yield Finding(f"process {name}", words[state], sentence)


def _last_sign(service: str, state: str, at: datetime, now: datetime) -> str:
    sentence = f"{service} gave its last sign of life {max(0.0, (now - at).total_seconds()):,.0f} s ago"
    if state == "ok":
        return f"{sentence}."
    hanging = [f"{name} none for {ago.total_seconds():,.0f} s" for name, ago in silent(service, now=now)]
    if state == "degraded" and hanging:
        return f"{sentence}, but {', '.join(hanging)}: it hangs, does no work, or was killed with its machine."
    return f"{sentence}: it does not run, or does not do its work."


def _pages() -> Finding:
    said = answers(settings.WEB, tls=bool(settings.TLS_CERT), host=settings.PUBLIC_HOST, within=PAGES_SECONDS)
    if said is None:
        return Finding("process web", FAIL, f"Nothing answers on {settings.WEB}; is `manage.py up` running?")
    if said != "ok":
        return Finding(
            "process web", FAIL, f"What answers on {settings.WEB} is not einbox, or refuses itself ({said})."
        )
    return Finding("process web", OK, f"The pages answer on {settings.WEB}.")
