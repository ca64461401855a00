"""DKIM: signatures over mail written here, and the records that DNS must hold (RFC 6376, RFC 8301, RFC 8463). Pure.

Relaxed canonicalisation of header and body. Each field of SIGNED is named once more than it occurs, so that none can
be added on the way. Keys and time are given; nothing here keeps a key.
"""

import re
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from spool.mime import headers

RSA_BITS = 2048  # what fits into DNS and every verifier takes (RFC 8301 section 3.2)
STRING = 255  # octets of one character-string of a TXT record (RFC 1035 section 3.3)
WIDTH = 72
# RFC 6376 section 5.4.1, as far as mail written here has them.
SIGNED = (
    "from", "to", "cc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references",
    "mime-version", "content-type", "content-transfer-encoding",
)  # fmt: skip
_SPACES = re.compile(rb"[ \t]+")
_ENDS = re.compile(rb" ?\r\n")


class Algorithm(StrEnum):
    """The tag `a` of a signature."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"

    @property
    def kind(self) -> str:
        """The tag `k` of a record."""
        return self.value.partition("-")[0]


@dataclass(frozen=True)
class Key:
    """A private key with the name under which its record is found."""

    domain: str  # A-labels
    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> Algorithm:
        return Algorithm.RSA if isinstance(self.private, RSAPrivateKey) else Algorithm.ED25519


# --- keys and their records ---------------------------------------------------------------------------------------
def new_private(algorithm: Algorithm) -> RSAPrivateKey | Ed25519PrivateKey:
    """Takes a tenth of a second for RSA."""
    if algorithm is Algorithm.RSA:
        return generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return Ed25519PrivateKey.generate()


def to_octets(private: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """PKCS #8, unencrypted: seal it at once."""
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def from_octets(octets: bytes) -> RSAPrivateKey | Ed25519PrivateKey:
    """What `to_octets` gave, unchanged (it was sealed, so it is not checked again). Raises ValueError."""
    private = load_der_private_key(octets, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError("neither an RSA nor an Ed25519 key")
    return private


def public_part(private: RSAPrivateKey | Ed25519PrivateKey) -> str:
    """The tag `p` of the record: base64 of SubjectPublicKeyInfo, or of the 32 octets alone (RFC 8463 section 4)."""
    public = private.public_key()
    if isinstance(private, RSAPrivateKey):
        octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b64encode(octets).decode("ascii")


def record_name(selector: str, domain: str) -> str:
    return f"{selector}._domainkey.{domain}"


def record_value(algorithm: Algorithm, public: str) -> str:
    """The text of the TXT record (RFC 6376 section 3.6.1)."""
    return f"v=DKIM1; k={algorithm.kind}; p={public}"


def zone_line(name: str, value: str) -> str:
    """The record as zone files have it, in strings that are short enough (RFC 1035 section 5.1)."""
    parts = " ".join(f'"{value[start : start + STRING]}"' for start in range(0, len(value), STRING))
    return f"{name}. IN TXT ( {parts} )" if len(value) > STRING else f"{name}. IN TXT {parts}"


# --- signatures ----------------------------------------------------------------------------------------------------
def sign(raw: bytes, key: Key, *, at: datetime) -> bytes:
    """The DKIM-Signature field for `raw` (CRLF lines), folded, ending in CRLF; to be put in front of it."""
    end, start = headers.block_end(raw)
    fields = _fields(raw[:end])
    names = _names(fields)
    body_hash = b64encode(sha256(relaxed_body(raw[start:])).digest()).decode("ascii")
    lines = [
        f"v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain};",
        f"s={key.selector}; t={int(at.timestamp())};",
        *_folded("h=" + ":".join(names) + ";", ":"),
        f"bh={body_hash};",
        "b=",
    ]
    unsigned = ("DKIM-Signature: " + "\r\n\t".join(lines)).encode("ascii")
    data = _chosen(fields, names) + relaxed_field(unsigned)
    signature = b64encode(_signature(key.private, data)).decode("ascii")
    pieces = [signature[start : start + WIDTH] for start in range(0, len(signature), WIDTH)]
    return unsigned + "\r\n\t".join(pieces).encode("ascii") + b"\r\n"


def _signature(private: RSAPrivateKey | Ed25519PrivateKey, data: bytes) -> bytes:
    if isinstance(private, RSAPrivateKey):
        return private.sign(data, PKCS1v15(), SHA256())
    return private.sign(sha256(data).digest())  # RFC 8463 section 3: PureEdDSA over the hash


def _fields(block: bytes) -> dict[str, list[bytes]]:
    """Whole fields by lower-case name, in order."""
    found: dict[str, list[bytes]] = {}
    for field in re.split(rb"\r\n(?![ \t])", block.removesuffix(b"\r\n")):
        found.setdefault(field.partition(b":")[0].strip().lower().decode("ascii", "replace"), []).append(field)
    return found


def _names(fields: dict[str, list[bytes]]) -> list[str]:
    """The tag `h`: each name as often as it occurs, and once more (RFC 6376 section 8.15)."""
    return [name for name in SIGNED for _ in range(len(fields.get(name, ())) + 1)]


def _chosen(fields: dict[str, list[bytes]], names: list[str]) -> bytes:
    """The fields in the order of `names`, of each the last one first; what is not there is nothing."""
    left = {name: list(values) for name, values in fields.items()}
    return b"".join(relaxed_field(left[name].pop()) + b"\r\n" for name in names if left.get(name))


def _folded(text: str, mark: str) -> list[str]:
    """Lines of at most WIDTH characters, broken behind `mark`."""
    lines = [""]
    for piece in re.findall(f"[^{mark}]*{mark}|[^{mark}]+", text):
        if lines[-1] and len(lines[-1]) + len(piece) > WIDTH:
            lines.append("")
        lines[-1] += piece
    return lines


def relaxed_field(field: bytes) -> bytes:
    """RFC 6376 section 3.4.2, without the line end."""
    name, _, value = field.partition(b":")
    value = _SPACES.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.strip(b" \t").lower() + b":" + value


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4."""
    if not body:
        return b""
    text = _ENDS.sub(b"\r\n", _SPACES.sub(b" ", body if body.endswith(b"\r\n") else body + b"\r\n"))
    text = text.rstrip(b"\r\n")
    return text + b"\r\n" if text else b""
