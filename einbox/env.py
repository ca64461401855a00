"""Typed readers of environment settings, each also as NAME_FILE.

Pure: reads only the mapping and the files it is given; knows no Django. A value that cannot be read is a
SettingsError whose text says what is expected; a secret's value never appears in it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from audit.reading import UnreadableError, text_of

PREFIX = "EINBOX_"
# Names that orchestrators inject for a service called "einbox" (Kubernetes service links).
FOREIGN = ("EINBOX_SERVICE_", "EINBOX_PORT")

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})


class SettingsError(Exception):
    """A setting is missing, unknown or wrong; its text is a sentence for the operator."""


@dataclass(frozen=True)
class HostPort:
    """A listening or peer address; `host` without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(value: str) -> HostPort:
    """Read `host:port` or `[v6]:port`. Raises ValueError with the form expected."""
    host, _, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("expected host:port with a port from 1 to 65535")
    return HostPort(host, int(port))


LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def is_mail_name(name: str) -> bool:
    """Whether a server may call itself that (RFC 5321 sections 2.3.5 and 4.1.3): a DNS name or an address literal."""
    if name.startswith("[") and name.endswith("]"):
        return _is_literal(name[1:-1])
    labels = name.split(".")
    return len(name) <= 253 and all(map(LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def _is_literal(text: str) -> bool:
    try:
        if text.lower().startswith("ipv6:"):
            return not IPv6Address(text[5:]).scope_id
        return bool(IPv4Address(text))
    except ValueError:
        return False


@dataclass
class Env:
    """Reads settings from `source` and remembers which names were asked for, so that unknown ones show."""

    source: Mapping[str, str]
    asked: set[str] = field(default_factory=set)

    def text(self, name: str, default: str = "") -> str:
        """The value of NAME, or the content of the file NAME_FILE without its final newline."""
        self.asked |= {name, f"{name}_FILE"}
        path = self.source.get(f"{name}_FILE", "")
        if path and name in self.source:
            message = f"{name} and {name}_FILE are both set; set one of them."
            raise SettingsError(message)
        if not path:
            return self.source.get(name, default)
        try:
            return text_of(Path(path)).rstrip("\r\n")
        except UnreadableError as error:
            message = f"{name}_FILE: {error}"
            raise SettingsError(message) from error

    def _got(self, name: str, value: str) -> str:
        """For a message; what stood in a file may be a secret, of another file than was meant."""
        return "" if self.source.get(f"{name}_FILE") else f"; got {value!r}"

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.text(name, "1" if default else "0").strip().lower()
        if value in TRUE:
            return True
        if value in FALSE:
            return False
        message = f"{name} must be one of 1, 0, true, false, yes, no, on, off{self._got(name, value)}."
        raise SettingsError(message)

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        value = self.text(name, str(default)).strip()
        try:
            number = int(value)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            message = f"{name} must be a whole number from {low} to {high}{self._got(name, value)}."
            raise SettingsError(message)
        return number

    def address(self, name: str, default: str) -> HostPort:
        value = self.text(name, default).strip()
        try:
            return parse_host_port(value)
        except ValueError as error:
            message = f"{name}: {error}{self._got(name, value)}."
            raise SettingsError(message) from None

    def mail_name(self, name: str, default: str) -> str:
        """What einbox calls itself in greetings and trace fields."""
        value = self.text(name).strip() or default
        if is_mail_name(value):
            return value
        message = (
            f"{name} must be a DNS name such as einbox.example.org (xn--… for an international one), or an address in "
            f"brackets such as [192.0.2.1] or [IPv6:2001:db8::1]{self._got(name, value)}."
        )
        raise SettingsError(message)

    def networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        """Comma-separated networks in CIDR form."""
        value = self.text(name)
        try:
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        except ValueError:
            message = f"{name} must be networks such as 10.0.0.0/8, separated by commas{self._got(name, value)}."
            raise SettingsError(message) from None

    def items(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def refuse_unknown(self) -> None:
        """Raise SettingsError for an EINBOX_ name that no reader asked for."""
        for name in sorted(self.source):
            if name.startswith(PREFIX) and name not in self.asked and not name.startswith(FOREIGN):
                message = f"{name} is not a setting of einbox; see docs/settings.md for those that are."
                raise SettingsError(message)


SQLITE_OPTIONS = {
    # IMMEDIATE takes the write lock at BEGIN, so a read never turns into a failing write (SQLITE_BUSY_SNAPSHOT).
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # FULL: each commit is synced, for 250 is a promise. secure_delete: purged content is overwritten. Checkpoints,
    # with two syncs each, come every 16 MiB instead of every 4.
    "init_command": (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
        "PRAGMA secure_delete=ON; PRAGMA journal_size_limit=67108864; PRAGMA wal_autocheckpoint=4000;"
    ),
}


# A server whose machine vanished without a word is given up after 15 s, and its successor asked; by itself the kernel
# would wait for a quarter of an hour.
DEAD_SERVER = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2, "tcp_user_timeout": 15_000}


def database_config(url: str) -> dict[str, object]:
    """Django's DATABASES entry for `sqlite:///path` or `postgres://user:password@host:port/name`.

    Raises SettingsError without repeating the URL, which may hold a password.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and parts.path.lstrip("/"):
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path[1:] if parts.path.startswith("//") else parts.path),
            "OPTIONS": dict(SQLITE_OPTIONS),
        }
    if parts.scheme in {"postgres", "postgresql"} and parts.path.lstrip("/"):
        query = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
        options: dict[str, object] = {"connect_timeout": 5, "application_name": "einbox", **DEAD_SERVER}
        if "sslmode" in query:
            options["sslmode"] = query["sslmode"]
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path[1:]),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or query.get("host", "")),
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": options,
        }
    message = "EINBOX_DATABASE_URL must be sqlite:///path/to/file or postgres://user:password@host:port/name."
    raise SettingsError(message)
