"""The server's certificate: TLS 1.2 or newer, read again when its files change. No sockets."""

import logging
import ssl
from pathlib import Path

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
        self._refused = ""  # why the files as they are now cannot be used
        self._mark = self._look()  # of what `context` was read from
        self.context = make_context(*self.files)

    def _look(self) -> tuple[tuple[int, int], ...]:
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in (path.stat() for path in self.files))

    def reload_if_changed(self, *, force: bool = False) -> None:
        """What cannot be used is tried again each time: half a file, or a missing right, may be mended unseen."""
        try:
            mark = self._look()
            if mark == self._mark and not force:
                return
            self.context = make_context(*self.files)
        except (OSError, ssl.SSLError) as error:
            if force or self._refused != str(error):
                log.warning("the new certificate cannot be used, the old one stays: %s", type(error).__name__)
            self._refused = str(error)
            return
        self._mark, self._refused = mark, ""
        log.info("the certificate was read again")
