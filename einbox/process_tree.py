"""The services of this installation, for the supervisor to fork: which there are, and the code of all of them.

Touches no database. Needs the settings.
"""

import gc
import sys
from functools import partial
from importlib import import_module

from django.conf import settings
from django.urls import get_resolver

from einbox import entry
from einbox.simulation import organisation
from einbox.supervisor import Service
from einbox.worker import is_embedded

SMTPD_STOPS_WITHIN = 8.0  # seconds, see spool.smtpd.process
STOP_ORDER = ("smtpd", "web", "worker", "beat", "watch", "primary")
# The others are called as their service.
COMMANDS = {"primary": ("primary", "run"), "demo mail": ("demo", "post", "--starting")}
# What the services import once they work: here, each would load it for itself.
LATER = ("celery.apps.worker", "celery.apps.beat", "celery.concurrency.thread", "celery.worker.autoscale")


def services(*, demo: bool) -> list[Service]:
    """The children in the order in which they are stopped: no new mail first, the watch last."""
    wanted = {"smtpd", "web", "worker", "watch"}
    if not is_embedded():
        wanted.add("beat")
    if demo:
        wanted.add("primary")
    # They share the port: the kernel gives each new session to one of them.
    more = [f"smtpd-{number}" for number in range(2, settings.SMTPD_PROCESSES + 1)]
    children = [_service(name) for name in (*more, *STOP_ORDER) if name in wanted or name in more]
    if demo and not organisation.mail_sent_marker().exists():
        children.append(_service("demo mail", once=True))
    return children


def _service(name: str, *, once: bool = False) -> Service:
    command = COMMANDS.get(name, (name.partition("-")[0],))
    run = partial(_run, ("manage.py", *command))
    if command == ("smtpd",):  # it listens no more at once, and then finishes what is in DATA
        return Service(name, run, stop_seconds=SMTPD_STOPS_WITHIN, finishes=True)
    return Service(name, run, once=once)


def _run(command_line: tuple[str, ...]) -> None:
    sys.argv[:] = command_line  # Celery says what it restarts by it
    entry.run(command_line)


def load() -> None:
    """Import what the services will need, so that a fork of this process has it already."""
    for name in LATER:
        import_module(name)
    get_resolver().url_patterns  # noqa: B018 - the views, and what they import
    gc.collect()
    gc.freeze()  # it lives as long as the processes: collections need not look at it, nor unshare it
