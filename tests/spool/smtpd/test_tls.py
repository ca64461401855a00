"""STARTTLS: offered with a certificate only, nothing slips in before it, the certificate is read again."""

import os
import ssl
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from spool.models import Mailbox, Message
from spool.queue import content
from spool.smtpd.tls import Certificate
from tests.doubles.smtpd import Client, ServerInThread
from tests.factories.spool import make_raw
from tests.waiting import wait_for


def write_certificate(folder: Path, name: str = "einbox.test", *, days: int = 1) -> tuple[str, str]:
    """A self-signed certificate and key in PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(
        issuer_name=subject, subject_name=subject, public_key=key.public_key(),
        serial_number=x509.random_serial_number(), not_valid_before=now, not_valid_after=now + timedelta(days=days),
        extensions=[x509.Extension(names.oid, critical=False, value=names)],
    ).sign(key, hashes.SHA256())  # fmt: skip
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return str(certificate), str(private)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(*write_certificate(tmp_path))


def test_mail_over_tls_says_so(anna: Mailbox, certificate: Certificate) -> None:
    with ServerInThread(certificate=certificate) as server, server.client() as client:
        assert "250 STARTTLS" in client.say("EHLO client.test")
        assert client.starttls().startswith("220 2.0.0")
        assert client.say("MAIL FROM:<a@outside.test>").startswith("503")  # EHLO is forgotten (RFC 3207 section 4.2)
        assert "STARTTLS" not in client.say("EHLO client.test")
        assert client.say("STARTTLS").startswith("503 5.5.1")
        client.mail("anna@example.test")
        assert client.data(make_raw()).startswith("250")
    assert Message.objects.get().tls.startswith("TLSv1.3 TLS_")


def test_without_a_certificate_there_is_no_starttls(server: ServerInThread) -> None:
    with server.client() as client:
        assert "STARTTLS" not in client.say("EHLO client.test")
        assert client.say("STARTTLS").startswith("502 5.5.1")


@pytest.mark.parametrize("together", [True, False])
def test_what_is_sent_behind_starttls_in_clear_is_never_heard(
    anna: Mailbox, certificate: Certificate, together: bool
) -> None:
    injected = b"EHLO evil.test\r\nMAIL FROM:<evil@outside.test>\r\nRCPT TO:<anna@example.test>\r\n"
    with ServerInThread(certificate=certificate) as server, server.client() as client:
        client.send(b"STARTTLS\r\n" + (injected if together else b""))
        assert client.reply().startswith("220")
        client.secure()
        assert client.say("RCPT TO:<anna@example.test>").startswith("503")
        assert client.say("EHLO client.test").startswith("250")
        assert client.say("DATA").startswith("503")
        assert not Message.objects.exists()


def secured(client: Client, last: Callable[[ssl.SSLObject], object]) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """The client's layer of TLS 1.3, where it has the last word of the handshake, sent together with what `last` does.

    And where to put what comes from the server.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    layer = context.wrap_bio(received, to_send)
    assert client.say("STARTTLS").startswith("220")
    while not layer.version():
        with suppress(ssl.SSLWantReadError):
            layer.do_handshake()
            last(layer)
        client.send(to_send.read())
        received.write(b"" if layer.version() else client.socket.recv(65536))
    return layer, received


def test_ehlo_that_comes_with_the_end_of_the_handshake_is_heard(anna: Mailbox, certificate: Certificate) -> None:
    """A busy server reads both together."""
    with ServerInThread(certificate=certificate) as server, server.client() as client:
        layer, received = secured(client, lambda layer: layer.write(b"EHLO client.test\r\n"))
        heard = b""
        while b"250 " not in heard:
            received.write(client.socket.recv(65536))
            with suppress(ssl.SSLWantReadError):
                heard += layer.read(65536)
    assert heard.startswith(b"250-einbox.test")


def test_a_farewell_that_comes_with_the_end_of_the_handshake_is_no_warning(
    anna: Mailbox, certificate: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    with ServerInThread(certificate=certificate) as server, server.client() as client:
        secured(client, lambda layer: layer.unwrap())
        wait_for(lambda: not server.server.connections)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def handshake(server: ServerInThread, context: ssl.SSLContext) -> str:
    """The version agreed on; raises ssl.SSLError when there is none."""
    with server.client() as client:
        assert client.say("STARTTLS").startswith("220")
        with context.wrap_socket(client.socket) as layer:
            return layer.version() or ""


def lenient(newest: ssl.TLSVersion, ciphers: str) -> ssl.SSLContext:
    """A client that would agree to anything old."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with warnings.catch_warnings():  # Python warns of old versions, as it should
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
    return context


def test_old_versions_and_ciphers_of_tls_are_refused(anna: Mailbox, certificate: Certificate) -> None:
    old = lenient(ssl.TLSVersion.TLSv1_1, "ALL")
    cbc, static = (lenient(ssl.TLSVersion.TLSv1_2, suite) for suite in ("ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256"))
    permissive = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # shows that these clients can, if a server lets them
    permissive.set_ciphers("ALL:@SECLEVEL=0")
    permissive.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    permissive.load_cert_chain(*certificate.files)
    with ServerInThread(certificate=certificate) as server:
        for context in (old, cbc, static):
            with pytest.raises(ssl.SSLError):
                handshake(server, context)
        assert handshake(server, lenient(ssl.TLSVersion.TLSv1_2, "ALL")) == "TLSv1.2"
        wait_for(lambda: not server.server.connections)
        certificate.context = permissive
        assert [handshake(server, context) for context in (old, cbc)] == ["TLSv1.1", "TLSv1.2"]


def test_a_handshake_that_is_none_ends_the_session(anna: Mailbox, certificate: Certificate) -> None:
    with ServerInThread(certificate=certificate) as server, server.client() as client:
        client.say("STARTTLS")
        client.send(b"this is no handshake\r\n")
        assert client.closed()
        wait_for(lambda: not server.server.connections)


def test_a_new_certificate_is_used_without_a_restart(anna: Mailbox, tmp_path: Path, certificate: Certificate) -> None:
    def subject(server: ServerInThread) -> bytes:
        with server.client() as client:
            client.starttls()
            assert isinstance(client.socket, ssl.SSLSocket)
            raw = client.socket.getpeercert(binary_form=True)
            assert raw is not None
            return raw

    with ServerInThread(certificate=certificate) as server:
        old = subject(server)
        (tmp_path / "cert.pem").write_text("half written")
        server.run(lambda: certificate.reload_if_changed(force=True))
        assert subject(server) == old
        write_certificate(tmp_path, "new.test")
        os.utime(tmp_path / "cert.pem", (1, 1))
        wait_for(lambda: subject(server) != old)


def test_what_could_not_be_used_is_tried_again_though_it_looks_the_same(tmp_path: Path) -> None:
    """Half a file within one tick of the clock, or one that we had no right to read."""
    certificate = Certificate(*write_certificate(tmp_path))
    old, file = certificate.context, tmp_path / "cert.pem"
    write_certificate(tmp_path, "new.test")
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    os.utime(file, (1, 1))
    certificate.reload_if_changed()
    assert certificate.context is old
    file.write_bytes(whole)
    os.utime(file, (1, 1))
    certificate.reload_if_changed()
    assert certificate.context is not old


def test_mails_read_at_the_same_time_in_clear_and_over_tls_stay_apart(anna: Mailbox, certificate: Certificate) -> None:
    """All sessions read through one buffer; these are larger than it and come in turns, in odd pieces."""
    raws = [b"Subject: %d\r\n\r\n" % number + b"%039d\r\n" % number * 8_000 for number in range(4)]
    with ServerInThread(certificate=certificate) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in raws]
        for client in clients[::2]:
            client.starttls()
            client.say("EHLO client.test")
        for client in clients:
            client.mail("anna@example.test")
            assert client.say("DATA").startswith("354")
        for begin in range(0, len(raws[0]), 70_001):
            for client, raw in zip(clients, raws, strict=True):
                client.send(raw[begin : begin + 70_001])
        for client in clients:
            client.send(b".\r\n")
        assert {client.reply()[:9] for client in clients} == {"250 2.0.0"}
    assert {content.read(message) for message in Message.objects.all()} == set(raws)
