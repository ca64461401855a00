"""Makes an installation ready to run: state directory, lock, free ports, database, static files.

Every step can be repeated, so a start that was cut half way is finished by the next one. What a person has to
do is said in a StartError's text. Touches no mail.
"""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from audit.escape import escape
from einbox import certificates, sealed
from einbox.env import HostPort, SettingsError

LOCK_NAME = "up.lock"
PORT_PATIENCE = 3.0  # seconds; the processes of a killed predecessor may take a moment to leave


class StartError(SettingsError):
    """Something outside stops the start; the text says what and what to do."""


def prepare_home(home: Path) -> None:
    """The state directory, for this user only. Raises StartError when it cannot be written."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if home.stat().st_mode & 0o077 and home.stat().st_uid == os.getuid():
            home.chmod(0o700)
        probe = home / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        message = (
            f"The state directory {home} cannot be used ({os.strerror(error.errno or 0)}). "
            "Make it writable for this user, or set EINBOX_HOME to a directory that is."
        )
        raise StartError(message) from error


@contextlib.contextmanager
def only_one(home: Path, command: str) -> Iterator[None]:
    """Hold the installation's lock for the block, as `command`. Raises StartError while another process holds it."""
    handle = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # this process's alone: a forked one does not hold it
        except (BlockingIOError, PermissionError):
            holder = escape(os.read(handle, 64).decode("ascii", "replace").strip()).split(maxsplit=1)
            raise StartError(_taken(home, *holder)) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {command}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _taken(home: Path, pid: str = "unknown", command: str = "up") -> str:
    return (
        f"einbox is already running on {home}: `{command}`, process {pid}. Stop that first, by Ctrl-C where it "
        f"was started, `systemctl stop einbox` or `kill {pid}`; or set EINBOX_HOME, EINBOX_WEB and EINBOX_SMTP for a "
        "second installation."
    )


def check_port(address: HostPort, setting: str, remedy: str = "") -> None:
    """Raise StartError if `address` cannot be listened on; `remedy` replaces the advice for a taken port."""
    until = time.monotonic() + PORT_PATIENCE
    while (problem := _bind_problem(address)) and problem.errno == errno.EADDRINUSE and time.monotonic() < until:
        time.sleep(0.1)
    if problem is None:
        return
    if problem.errno == errno.EADDRINUSE:
        remedy = remedy or f"set {setting} to a free host:port."
        message = f"{address} is taken by another program. Stop that one, or {remedy}"
    elif problem.errno == errno.EACCES:
        message = (
            f"{address} needs a right this user does not have. Ports below 1024 need CAP_NET_BIND_SERVICE; "
            f"or set {setting} to a higher port and forward the low one to it."
        )
    else:
        message = f"{address} cannot be listened on ({problem.strerror}). Set {setting} to an address of this machine."
    raise StartError(message)


def _bind_problem(address: HostPort) -> OSError | None:
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
            probe.listen(1)
    except OSError as error:
        return error
    return None


def migrations_pending() -> bool:
    """Whether the code knows migrations that the database has not seen."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def migrate() -> bool:
    """Bring the database up to date; whether anything was to do. Raises StartError when it cannot be reached."""
    try:
        pending = migrations_pending()
        if pending:
            call_command("migrate", interactive=False, verbosity=0)
    except OperationalError as error:
        message = f"The database cannot be used: {str(error).splitlines()[0]}. Check EINBOX_DATABASE_URL."
        raise StartError(message) from error
    finally:
        connection.close()
    return pending


def why_unusable() -> str | None:
    """Why no command can work with the database, as a sentence; None when it is there and of this version."""
    try:
        return _unprepared()
    except DatabaseError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return f"The database cannot be used: {reason}. Check EINBOX_DATABASE_URL."
    finally:
        connection.close()


def _unprepared() -> str | None:
    """Raises DatabaseError when it cannot be asked."""
    if "django_migrations" not in connection.introspection.table_names():
        return (
            f"einbox has not been started here yet: the database {_database_name()} is empty. "
            "`manage.py up` makes it and starts everything; for single processes run `manage.py migrate` first."
        )
    if migrations_pending():
        return "The database is of an older version of einbox: stop its processes, run `manage.py migrate`."
    return None


def _database_name() -> str:
    """Where the database is, without user and password."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(database["NAME"])
    port = f":{database['PORT']}" if database["PORT"] else ""
    return f"{database['NAME']} on {database['HOST'] or 'the local socket'}{port}"


def check_certificates(*services: str) -> None:
    """Raise SettingsError unless the certificates of these services can be used."""
    if "web" in services:
        certificates.check("EINBOX_TLS", settings.TLS_CERT, settings.TLS_KEY, web=True)
    if "smtpd" in services:
        certificates.check("EINBOX_SMTP", settings.SMTP_CERT, settings.SMTP_KEY)


def missing_keys() -> set[str]:
    """Ids of field keys that the newest sealed values of the database name and this process was not given."""
    needed: set[str] = set()
    with connection.cursor() as cursor:
        for table, column in sealed.COLUMNS:
            cursor.execute(sealed.query(table, column, newest=True))
            needed |= {sealed.key_id(value) for _, value in cursor.fetchall()}
    return needed - set(settings.FIELD_KEYS)


def refuse_other_keys() -> None:
    """Raise StartError if the database was sealed under keys that this process was not given."""
    if missing := missing_keys():
        raise StartError(sealed.lacking(missing))


def refuse_unprepared(service: str) -> None:
    """Raise StartError unless `service` can work here: certificate, database and static files ready, keys those of it.

    A database that is away is no reason: it may come while the service runs.
    """
    django.setup()
    check_certificates(service)
    try:
        if reason := _unprepared():
            raise StartError(reason)
        if service == "web" and not _manifest().exists():
            raise StartError("The static files are not gathered yet: run `manage.py collectstatic --noinput` first.")
        refuse_other_keys()
    except DatabaseError:
        return
    finally:
        connection.close()


def collect_static() -> bool:
    """Gather and compress the static files unless that is done and still true; whether anything was to do."""
    manifest = _manifest()
    if manifest.exists() and manifest.stat().st_mtime >= _newest_source():
        return False
    call_command("collectstatic", interactive=False, verbosity=0)
    return True


def _manifest() -> Path:
    """Names each gathered file; written last."""
    return Path(settings.STATIC_ROOT) / "staticfiles.json"


def _newest_source() -> float:
    """When the latest of our own static files was changed (seconds of the epoch)."""
    folders = (settings.BASE_DIR / app / "static" for app in ("einbox", "accounts", "audit", "spool"))
    return max((path.stat().st_mtime for folder in folders for path in folder.rglob("*")), default=0.0)
