"""The server's certificate: TLS 1.2 or newer, read again when its files change. No sockets."""

import logging
import ssl
from pathlib import Path

from spool.renewals import Renewals

log = logging.getLogger(__name__)


def make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises OSError or ssl.SSLError if the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.load_cert_chain(certificate, key)
    return context


class Certificate:
    """A certificate and its key on disk. `context` serves new handshakes; a bad new file leaves the old one."""

    def __init__(self, certificate: str, key: str) -> None:
        """Raises OSError or ssl.SSLError: a server must not start with a certificate it cannot use."""
        self.files = Path(certificate), Path(key)
        self._renewals = Renewals(certificate, key)
        self._read()

    def _read(self) -> None:
        self.context = make_context(*self.files)

    def reload_if_changed(self, *, force: bool = False) -> None:
        if self._renewals.follow(self._read, force=force):
            log.info("the certificate was read again")
