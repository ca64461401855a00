"""Opening an SMTP session: dial, greeting, EHLO, STARTTLS, AUTH. No transaction, no database, no Django.

Every failure here is a ConnectError: a host that cannot be talked to says nothing about any mail.
"""

import base64
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import TypeVar

from spool.smtp.replies import AUTHENTICATED, CONTINUE_AUTH, READY, Phase, Reply
from spool.smtp.wire import Wire, WireError

T = TypeVar("T")
SHOWS = 16  # characters of a password that must not be shown


@dataclass(frozen=True)
class Timers:
    """Seconds; the defaults are the minima of RFC 5321 section 4.5.3.2."""

    connect: float = 30
    greeting: float = 300
    ehlo: float = 300
    starttls: float = 120
    auth: float = 300
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    block: float = 180
    dot: float = 600
    quit: float = 5

    def capped(self, seconds: float) -> "Timers":
        """The same with none above `seconds`."""
        return Timers(**{name: min(value, seconds) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Endpoint:
    """A host to dial. `tls`: none, opportunistic (unverified, clear if it fails) or required (verified)."""

    host: str
    port: int
    tls: str = "opportunistic"
    implicit_tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ConnectError(Exception):
    """No session with this host; transient by nature."""

    def __init__(self, phase: Phase, text: str, code: int | None = None, enhanced: str = "") -> None:
        super().__init__(text)
        self.phase, self.text, self.code, self.enhanced = phase, text, code, enhanced


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(policy: str) -> ssl.SSLContext:
    """Verified against the system's authorities (SSL_CERT_FILE is honoured) if `policy` is "required"."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if policy != "required":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Session:
    """One connection after greeting, EHLO, STARTTLS and AUTH. Made by `open_session`."""

    def __init__(self, wire: Wire, endpoint: Endpoint, timers: Timers) -> None:
        self.wire, self.endpoint, self.timers = wire, endpoint, timers
        self.extensions: dict[str, str] = {}

    def say(self, line: str, timeout: float) -> Reply:
        """One command, one reply. Raises WireError."""
        self.wire.write(line.encode() + b"\r\n", timeout)
        return self.wire.read_reply(timeout)

    def prepare(self, helo: str, context: ssl.SSLContext) -> None:
        """Everything up to the first transaction. Raises ConnectError."""
        if self.endpoint.implicit_tls:
            self._step(Phase.STARTTLS, lambda: self._tls(context))
        self.greet()
        self.hello(helo)
        wanted = self.endpoint.tls != "none" and not self.endpoint.implicit_tls
        if wanted and "STARTTLS" in self.extensions:
            self.secure(context)
            self.hello(helo)
        elif wanted and self.endpoint.tls == "required":
            raise ConnectError(Phase.STARTTLS, "TLS is required and the server does not offer it")
        if self.endpoint.user:
            self.authenticate()

    def _tls(self, context: ssl.SSLContext) -> None:
        self.wire.start_tls(context, self.endpoint.host, self.timers.starttls)

    def greet(self) -> None:
        reply = self._step(Phase.GREETING, lambda: self.wire.read_reply(self.timers.greeting))
        if reply.code != READY:
            raise _refused(Phase.GREETING, reply)

    def hello(self, name: str) -> None:
        """EHLO, or HELO for a server that does not know EHLO (RFC 5321 section 4.1.4)."""

        def ehlo() -> tuple[Reply, list[str]]:
            self.wire.write(f"EHLO {name}\r\n".encode(), self.timers.ehlo)
            return self.wire.read_lines(self.timers.ehlo)

        reply, lines = self._step(Phase.EHLO, ehlo)
        self.extensions = {}
        if reply.good:
            words = [line.partition(" ") for line in lines[1:]]
            self.extensions = {keyword.upper(): parameters for keyword, _, parameters in words}
            return
        if reply.code in (500, 502):
            reply = self._step(Phase.EHLO, lambda: self.say(f"HELO {name}", self.timers.ehlo))
        if not reply.good:
            raise _refused(Phase.EHLO, reply)

    def secure(self, context: ssl.SSLContext) -> None:
        reply = self._step(Phase.STARTTLS, lambda: self.say("STARTTLS", self.timers.starttls))
        if reply.code != READY:
            raise _refused(Phase.STARTTLS, reply)
        self._step(Phase.STARTTLS, lambda: self._tls(context))

    def authenticate(self) -> None:
        """AUTH PLAIN or LOGIN (RFC 4954, 4616), never in the clear to another machine.

        Some servers repeat a command that they refuse; no log and no page may show what it held.
        """
        if not self.wire.secured and not is_loopback(self.endpoint.host):
            raise ConnectError(Phase.AUTH, "credentials are not sent without TLS")
        offered = self.extensions.get("AUTH", "").upper().split()
        try:
            reply = self._step(Phase.AUTH, lambda: self._plain() if "PLAIN" in offered else self._login())
            if reply.code != AUTHENTICATED:
                raise _refused(Phase.AUTH, reply)
        except ConnectError as error:
            if not self._betrays(error.text):
                raise
            raise ConnectError(Phase.AUTH, "refused; it repeated our password", error.code, error.enhanced) from None

    def _betrays(self, text: str) -> bool:
        """Whether `text` holds the password in a form in which it was sent, whole or cut off."""
        password = self.endpoint.password
        sent = (self._initial_response(), _base64(password), password)
        return any(form and form[:SHOWS] in text for form in sent)

    def _initial_response(self) -> str:
        return _base64(f"\0{self.endpoint.user}\0{self.endpoint.password}")

    def _plain(self) -> Reply:
        return self.say(f"AUTH PLAIN {self._initial_response()}", self.timers.auth)

    def _login(self) -> Reply:
        reply = self.say("AUTH LOGIN", self.timers.auth)
        for word in (self.endpoint.user, self.endpoint.password):
            if reply.code != CONTINUE_AUTH:
                break
            reply = self.say(_base64(word), self.timers.auth)
        return reply

    def _step(self, phase: Phase, step: Callable[[], T]) -> T:
        try:
            return step()
        except WireError as error:
            raise ConnectError(phase, str(error)) from error


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _refused(phase: Phase, reply: Reply) -> ConnectError:
    return ConnectError(phase, reply.text, reply.code, reply.enhanced)


def open_session(
    endpoint: Endpoint, *, helo: str, timers: Timers | None = None, context: ssl.SSLContext | None = None
) -> Session:
    """A session with `endpoint`, under its TLS policy. `context` replaces the TLS context. Raises ConnectError."""
    timers = timers or Timers()
    try:
        return _open(endpoint, helo, timers, context)
    except ConnectError as error:
        # Opportunistic: mail in the clear is what the policy allows, so broken TLS must not stop it (RFC 7435).
        if error.phase is not Phase.STARTTLS or endpoint.tls != "opportunistic":
            raise
        return _open(replace(endpoint, tls="none"), helo, timers, context)


def _open(endpoint: Endpoint, helo: str, timers: Timers, context: ssl.SSLContext | None) -> Session:
    try:
        wire = Wire(endpoint.host, endpoint.port, timers.connect)
    except WireError as error:
        raise ConnectError(Phase.CONNECT, str(error)) from error
    try:
        session = Session(wire, endpoint, timers)
        session.prepare(helo, context or tls_context(endpoint.tls))
    except ConnectError:
        wire.close()
        raise
    return session
