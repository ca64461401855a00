"""The machine: what a commit is worth, clock, disk, certificates."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Max

from audit.models import Event
from audit.reading import UnreadableError, octets_of
from einbox.database import weak_settings
from einbox.finding import FAIL, OK, WARN, Finding
from einbox.settings import is_loopback
from spool.smtpd.limits import Limits

DISK_COMFORT = 5 * 2**30
CERTIFICATE_WARNS = timedelta(days=21)
CLOCK_SLACK = timedelta(minutes=1)
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)  # a clock before this was never set


def durability(_now: datetime) -> Iterator[Finding]:
    weak = list(weak_settings(connection))
    if weak:
        sentence = f"The database may lose committed mail in a power cut: {', '.join(weak)} must be on."
        yield Finding("durability", FAIL, sentence)
    else:
        yield Finding("durability", OK, "What is committed is on the disk.")


def clock(now: datetime) -> Iterator[Finding]:
    latest = Event.objects.aggregate(at=Max("at"))["at"]
    if now < EARLIEST:
        yield Finding("clock", FAIL, f"The clock says {now:%Y-%m-%d}; set it, codes and retry times depend on it.")
    elif latest and latest - now > CLOCK_SLACK:
        yield Finding("clock", FAIL, f"The log holds an event of {latest:%Y-%m-%d %H:%M} UTC: the clock went back.")
    else:
        yield Finding("clock", OK, f"The clock says {now:%Y-%m-%d %H:%M} UTC and agrees with the log.")


def disk(_now: datetime) -> Iterator[Finding]:
    needed = Limits.from_settings().room
    for name, place in {
        "state directory": Path(settings.HOME),
        "content storage": Path(default_storage.path("")),
    }.items():
        there = next(path for path in (place, *place.parents) if path.exists())
        free = shutil.disk_usage(there).free
        state = FAIL if free < needed else WARN if free < DISK_COMFORT else OK
        yield Finding(f"disk {name}", state, f"{free / 2**30:.1f} GiB free for the {name}.")


def certificates(now: datetime) -> Iterator[Finding]:
    for name, path, address in (("web", settings.TLS_CERT, settings.WEB), ("smtp", settings.SMTP_CERT, settings.SMTP)):
        if path:
            yield _certificate(name, Path(path), now)
        elif name == "smtp" and not is_loopback(address):
            yield Finding("tls smtp", WARN, "Mail comes in without STARTTLS: set EINBOX_SMTP_CERT and EINBOX_SMTP_KEY.")


def _certificate(name: str, path: Path, now: datetime) -> Finding:
    try:
        ends = x509.load_pem_x509_certificate(octets_of(path)).not_valid_after_utc
    except UnreadableError as error:
        return Finding(f"tls {name}", FAIL, str(error))
    except (ValueError, x509.InvalidVersion):
        return Finding(f"tls {name}", FAIL, f"{path} holds no certificate in PEM form.")
    state = FAIL if ends <= now else WARN if ends - now < CERTIFICATE_WARNS else OK
    return Finding(f"tls {name}", state, f"The certificate is valid until {ends:%Y-%m-%d %H:%M} UTC.")
