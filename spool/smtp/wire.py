"""The socket under the SMTP client: lines out, replies in, each under a deadline. No SMTP meaning, no database."""

import socket
import ssl
import time
from contextlib import suppress

from spool.smtp.replies import Reply, ReplySyntaxError, harmless, parse_line

MAX_LINE = 4096  # octets of one reply line; RFC 5321 section 4.5.3.1.5 says 512
MAX_LINES = 200  # of one reply
BLOCK = 256 * 2**10  # octets of content per write, each under the block timer


class WireError(Exception):
    """The connection failed; the text says how, without anything secret."""


class Wire:
    """One TCP connection. All times are seconds; every method raises WireError when the connection fails."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout)
        except (OSError, UnicodeError) as error:
            raise WireError(explain(error)) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def start_tls(self, context: ssl.SSLContext, host: str, timeout: float) -> None:
        """Raises WireError also if octets followed the reply to STARTTLS in the clear (RFC 3207 section 6)."""
        if self._buffer:
            raise WireError("octets in the clear after the reply to STARTTLS")
        try:
            self._socket.settimeout(timeout)
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except (OSError, ValueError) as error:
            raise WireError(explain(error)) from error

    @property
    def secured(self) -> bool:
        return isinstance(self._socket, ssl.SSLSocket)

    def write(self, octets: bytes, timeout: float) -> None:
        try:
            for start in range(0, len(octets), BLOCK):
                self._socket.settimeout(timeout)
                self._socket.sendall(octets[start : start + BLOCK])
        except OSError as error:
            raise WireError(explain(error)) from error

    def read_reply(self, timeout: float) -> Reply:
        """One reply, complete within `timeout`, however slowly it comes."""
        return self.read_lines(timeout)[0]

    def read_lines(self, timeout: float) -> tuple[Reply, list[str]]:
        """A reply and its lines one by one (for EHLO), complete within `timeout`."""
        deadline = time.monotonic() + timeout
        texts: list[str] = []
        while len(texts) < MAX_LINES:
            try:
                code, last, text = parse_line(self._read_line(deadline))
            except ReplySyntaxError as error:
                message = f"not an SMTP reply: {error}"
                raise WireError(message) from error
            texts.append(text)
            if last:
                return Reply(code, harmless(" ".join(texts))), texts
        raise WireError("a reply without end")

    def _read_line(self, deadline: float) -> bytes:
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                return line.rstrip(b"\r")
            if len(self._buffer) > MAX_LINE:
                raise WireError("a reply line without end")
            left = deadline - time.monotonic()
            if left <= 0:
                raise WireError("timed out")
            try:
                self._socket.settimeout(left)
                octets = self._socket.recv(65536)
            except OSError as error:
                raise WireError(explain(error)) from error
            if not octets:
                raise WireError("connection closed")
            self._buffer += octets

    def abort(self) -> None:
        """From another thread: make whatever waits on this connection fail now."""
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        try:
            self._socket.close()
        except OSError:
            return


def explain(error: Exception) -> str:
    """A short text for an operator."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'failed'}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "connection reset"
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    return harmless(getattr(error, "strerror", None) or type(error).__name__)
