"""Certificates and their keys, looked at before anything starts: there, readable, PEM, and of one pair.

Reads the files that settings name and nothing else. smtpd and web follow their renewals.
"""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from audit.reading import UnreadableError, octets_of
from einbox.env import SettingsError

PKCS8 = b"-----BEGIN PRIVATE KEY-----"
RSA_BITS = range(2048, 4097, 512)  # of keys that ring, and so rustls, signs with


def check(setting: str, certificate: str, key: str, *, web: bool = False) -> None:
    """Raises SettingsError that names `setting`_CERT or `setting`_KEY when the pair cannot be used; none is fine.

    `web`: for the web server, which takes less than OpenSSL does; its workers die of a pair that it does not take.
    """
    if not certificate:
        return
    chain, secret = _read(f"{setting}_CERT", certificate), _read(f"{setting}_KEY", key)
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
        own = first.public_key()
    except (ValueError, x509.InvalidVersion) as error:
        message = f"{setting}_CERT: {certificate} holds no certificate in PEM form."
        raise SettingsError(message) from error
    except UnsupportedAlgorithm as error:
        raise SettingsError(_unknown(setting, certificate)) from error
    try:
        public = load_pem_private_key(secret, password=None).public_key()
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        message = f"{setting}_KEY: {key} holds no private key in PEM form without a password."
        raise SettingsError(message) from error
    except UnsupportedAlgorithm as error:
        raise SettingsError(_unknown(setting, key)) from error
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if own.public_bytes(*form) != public.public_bytes(*form):
        message = (
            f"{setting}_CERT and {setting}_KEY do not belong together: {key} is not the key of the first certificate "
            f"in {certificate}."
        )
        raise SettingsError(message)
    if web and PKCS8 not in secret:
        message = (
            f"{setting}_KEY: {key} must be PKCS #8 (BEGIN PRIVATE KEY); "
            "`openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW` makes it so."
        )
        raise SettingsError(message)
    if web and not _served(own):
        raise SettingsError(_unknown(setting, key))
    if web and first.version is not x509.Version.v3:
        message = f"{setting}_CERT: {certificate} is of an old version of X.509; the web server takes 3 only."
        raise SettingsError(message)
    _load(setting, certificate, key)


def _unknown(setting: str, path: str) -> str:
    served = "RSA of 2048, 3072 or 4096 bits, ECDSA P-256 or P-384, Ed25519"
    return f"{setting}_KEY: {path} is of a kind that is not served; take {served}."


def _served(key: object) -> bool:
    """Whether rustls signs with keys of this kind."""
    if isinstance(key, EllipticCurvePublicKey):
        return isinstance(key.curve, SECP256R1 | SECP384R1)
    return isinstance(key, Ed25519PublicKey) or (isinstance(key, RSAPublicKey) and key.key_size in RSA_BITS)


def _read(name: str, path: str) -> bytes:
    try:
        return octets_of(Path(path))
    except UnreadableError as error:
        message = f"{name}: {error}"
        raise SettingsError(message) from error


def _load(setting: str, certificate: str, key: str) -> None:
    """As the servers do: what OpenSSL refuses, they refuse."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        message = f"{setting}_CERT and {setting}_KEY cannot be used ({error})."
        raise SettingsError(message) from error
