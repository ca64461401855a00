"""Certificates that cannot be used stop the start with a sentence that names the setting and the file."""

from collections.abc import Callable
from pathlib import Path

import pytest
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
from tests.spool.smtp.certificates import make_certificate

pytestmark = pytest.mark.pure


def rewrite(key: Path, form: PrivateFormat, how: KeySerializationEncryption) -> None:
    private = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(private.private_bytes(Encoding.PEM, form, how))


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
    "another key": (lambda _cert, key: another(key.parent).replace(key), "do not belong together"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_fault_of_a_pair_is_said(tmp_path: Path, name: str) -> None:
    spoil, sentence = WRONG[name]
    certificate, key = make_certificate(tmp_path)
    certificates.check("EINBOX_TLS", str(certificate), str(key), pkcs8=True)
    spoil(certificate, key)
    with pytest.raises(SettingsError, match=sentence):
        certificates.check("EINBOX_TLS", str(certificate), str(key), pkcs8=True)


@pytest.mark.parametrize("setting", ["EINBOX_TLS", "EINBOX_SMTP"])
def test_up_starts_nothing_with_a_missing_certificate(tmp_path: Path, setting: str) -> None:
    missing = str(tmp_path / "missing.pem")
    box = Installation(tmp_path / "home", **{f"{setting}_CERT": missing, f"{setting}_KEY": missing})
    ended = box.manage("up")
    assert ended.returncode == 1
    assert f"{setting}_CERT: {missing} cannot be read" in ended.stderr
    assert "Ctrl-C" not in ended.stdout
    assert "Traceback" not in ended.stderr
