"""Certificates that cannot be used stop the start with a sentence; renewed ones are served without a new start."""

import base64
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from einbox import certificates
from einbox.env import SettingsError
from tests.doubles.installation import Installation
from tests.spool.smtp.certificates import PrivateKey, make_certificate
from tests.waiting import wait_for

pytestmark = pytest.mark.pure


def rewrite(key: Path, form: PrivateFormat, how: KeySerializationEncryption) -> None:
    private = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(private.private_bytes(Encoding.PEM, form, how))


def unknown_curve(file: Path) -> None:
    """Names prime239v2 (RFC 5480 knows it not) in place of P-256."""
    kind = file.read_text().partition("-----BEGIN ")[2].partition("-----")[0]
    octets = base64.b64decode("".join(file.read_text().splitlines()[1:-1]))
    octets = octets.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030105"))
    file.write_text(f"-----BEGIN {kind}-----\n{base64.encodebytes(octets).decode()}-----END {kind}-----\n")


def large_curve(certificate: Path, key: Path) -> None:
    replace(certificate, key, ec.generate_private_key(ec.SECP521R1()))


def odd_length(certificate: Path, key: Path) -> None:
    replace(certificate, key, rsa.generate_private_key(65537, 2056))


def replace(certificate: Path, key: Path, by: PrivateKey) -> None:
    for name, file in zip((certificate, key), make_certificate(key.parent, days=2, key=by), strict=True):
        file.replace(name)


def version_1(certificate: Path, key: Path) -> None:
    """As small private authorities still make them; its signature is not true any more."""

    def sequence(content: bytes) -> bytes:
        size = len(content)
        return b"0" + (b"\x81" + bytes([size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")) + content

    private = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    old = x509.load_pem_x509_certificate(certificate.read_bytes())
    plain = x509.CertificateBuilder(
        old.issuer, old.subject, private.public_key(), 1, old.not_valid_before_utc, old.not_valid_after_utc
    ).sign(private, SHA256())
    fields = plain.tbs_certificate_bytes
    rest = plain.public_bytes(Encoding.DER).partition(fields)[2]
    octets = sequence(sequence(fields.partition(bytes.fromhex("a003020102"))[2]) + rest)
    certificate.write_text(ssl.DER_cert_to_PEM_cert(octets))


def version_6(certificate: Path, _key: Path) -> None:
    octets = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    changed = octets.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"))
    certificate.write_text(ssl.DER_cert_to_PEM_cert(changed))


def another(folder: Path) -> Path:
    return make_certificate(folder, days=2)[1]


def directory(_certificate: Path, key: Path) -> None:
    key.unlink()
    key.mkdir()


WRONG: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "no certificate": (lambda cert, _key: cert.unlink(), "EINBOX_TLS_CERT: .* cannot be read .No such file"),
    "no key": (lambda _cert, key: key.unlink(), "EINBOX_TLS_KEY: .* cannot be read .No such file"),
    "a directory": (directory, "EINBOX_TLS_KEY: .* cannot be read"),
    "not PEM": (lambda cert, _key: cert.write_text("x"), "EINBOX_TLS_CERT: .* holds no certificate in PEM"),
    "no key in it": (lambda _cert, key: key.write_text("x"), "EINBOX_TLS_KEY: .* holds no private key in PEM"),
    "a password": (
        lambda _cert, key: rewrite(key, PrivateFormat.PKCS8, BestAvailableEncryption(b"p")),
        "EINBOX_TLS_KEY: .* without a password",
    ),
    "another form": (
        lambda _cert, key: rewrite(key, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        "EINBOX_TLS_KEY: .* must be PKCS #8",
    ),
    "a curve that nobody knows, in the certificate": (
        lambda cert, _key: unknown_curve(cert),
        "EINBOX_TLS_KEY: .* P-384",
    ),
    "a curve that nobody knows, in the key": (lambda _cert, key: unknown_curve(key), "EINBOX_TLS_KEY: .* P-384"),
    "a curve that rustls does not know": (large_curve, "EINBOX_TLS_KEY: .* P-384"),
    "a length that rustls does not know": (odd_length, "EINBOX_TLS_KEY: .* 4096 bits"),
    "a version that is none": (version_6, "EINBOX_TLS_CERT: .* holds no certificate in PEM"),
    "version 1 of X.509": (version_1, "EINBOX_TLS_CERT: .* old version"),
    "another key": (lambda _cert, key: another(key.parent).replace(key), "do not belong together"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_fault_of_a_pair_is_said(tmp_path: Path, name: str) -> None:
    spoil, sentence = WRONG[name]
    certificate, key = make_certificate(tmp_path)
    certificates.check("EINBOX_TLS", str(certificate), str(key), web=True)
    spoil(certificate, key)
    with pytest.raises(SettingsError, match=sentence):
        certificates.check("EINBOX_TLS", str(certificate), str(key), web=True)


@pytest.mark.parametrize("setting", ["EINBOX_TLS", "EINBOX_SMTP"])
def test_up_starts_nothing_with_a_missing_certificate(tmp_path: Path, setting: str) -> None:
    missing = str(tmp_path / "missing.pem")
    box = Installation(tmp_path / "home", **{f"{setting}_CERT": missing, f"{setting}_KEY": missing})
    ended = box.manage("up")
    assert ended.returncode == 1
    assert f"{setting}_CERT: {missing} cannot be read" in ended.stderr
    assert "Ctrl-C" not in ended.stdout
    assert "Traceback" not in ended.stderr


def serial(port: int) -> int | None:
    """Of the certificate that is shown on `port`."""
    try:
        pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
    except (OSError, ssl.SSLError):
        return None
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.mark.slow
def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    """As certbot renews: the names are links, and they lead to new files afterwards."""
    names = [tmp_path / "cert.pem", tmp_path / "key.pem"]
    serials = []
    for turn in ("old", "new"):
        (tmp_path / turn).mkdir()
        pair = make_certificate(tmp_path / turn)
        serials.append(x509.load_pem_x509_certificate(pair[0].read_bytes()).serial_number)
        if turn == "old":
            for name, file in zip(names, pair, strict=True):
                name.symlink_to(file)
    box = Installation(tmp_path / "home", "web", EINBOX_TLS_CERT=str(names[0]), EINBOX_TLS_KEY=str(names[1]))
    for command in ("migrate", "collectstatic"):
        assert box.manage(command, "--no-input").returncode == 0
    with box:
        wait_for(lambda: serial(box.web_port) == serials[0], seconds=60, what="the first certificate")
        for name, file in zip(names, pair, strict=True):
            name.with_suffix(".next").symlink_to(file)
            name.with_suffix(".next").replace(name)
        wait_for(lambda: serial(box.web_port) == serials[1], seconds=60, what="the renewed certificate")
        names[0].with_suffix(".next").write_text("no certificate")
        names[0].with_suffix(".next").replace(names[0])
        wait_for(lambda: "holds no certificate" in box.output(), seconds=60, what="the refusal of a broken one")
        assert serial(box.web_port) == serials[1]
        large_curve(*(name.resolve() for name in names))
        wait_for(lambda: "ECDSA P-256" in box.output(), seconds=60, what="the refusal of a kind that is not served")
        assert serial(box.web_port) == serials[1]
        assert box.process is not None
        assert box.process.poll() is None
