"""A verifier of DKIM signatures as receivers have one (RFC 6376 section 6, RFC 8463), written apart from the signer.

Works line by line, without a word of spool.mime.dkim; tests prove it on the example of RFC 8463.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

Dns = Callable[[str], str | None]  # name of a record -> its text
NAME = "dkim-signature"


def tag_list(text: str) -> dict[str, str]:
    pairs = (piece.split("=", 1) for piece in text.split(";") if piece.strip())
    return {name.strip(): "".join(value.split()) for name, value in pairs}


def header_lines(raw: bytes) -> tuple[list[str], list[bytes]]:
    """Unfolded fields with their folds still in, and the lines of the body."""
    fields: list[str] = []
    lines = raw.split(b"\r\n")
    for number, line in enumerate(lines):
        if not line:
            return fields, lines[number + 1 :]
        if line[:1] in (b" ", b"\t"):
            fields[-1] += "\r\n" + line.decode("ascii")
        else:
            fields.append(line.decode("ascii"))
    return fields, []


def relaxed(field: str) -> str:
    name, value = field.split(":", 1)
    return name.strip().lower() + ":" + " ".join(re.split(r"[ \t\r\n]+", value.strip(" \t\r\n")))


def relaxed_lines(lines: list[bytes]) -> bytes:
    done = [re.sub(rb"[ \t]+", b" ", line.rstrip(b" \t")) for line in lines]
    while done and not done[-1]:
        done.pop()
    return b"".join(line + b"\r\n" for line in done)


def verify(raw: bytes, dns: Dns) -> dict[str, str]:
    """The outcome for each selector that signed: "pass", or why not."""
    fields, body = header_lines(raw)
    own = [number for number, field in enumerate(fields) if field.split(":")[0].strip().lower() == NAME]
    return {tag_list(fields[number].split(":", 1)[1])["s"]: _one(fields, number, body, dns) for number in own}


def _one(fields: list[str], number: int, body: list[bytes], dns: Dns) -> str:
    tags = tag_list(fields[number].split(":", 1)[1])
    assert tags["v"] == "1"
    assert tags["c"] == "relaxed/relaxed"
    text = dns(f"{tags['s']}._domainkey.{tags['d']}")
    if text is None:
        return "no key"
    if b64decode(tags["bh"]) != sha256(relaxed_lines(body)).digest():
        return "body altered"
    left = list(fields)
    signed = ""
    for name in tags["h"].lower().split(":"):
        place = next((i for i in reversed(range(len(left))) if left[i].split(":")[0].strip().lower() == name), None)
        if place is not None:
            signed += relaxed(left.pop(place)) + "\r\n"
    signed += relaxed(re.sub(r"(;\s*b\s*=)[^;]*", r"\1", fields[number]))
    return _checked(tags, tag_list(text), signed.encode())


def _checked(tags: dict[str, str], record: dict[str, str], signed: bytes) -> str:
    octets, signature = b64decode(record["p"]), b64decode(tags["b"])
    try:
        if tags["a"] == "ed25519-sha256":
            assert record["k"] == "ed25519"
            ed25519.Ed25519PublicKey.from_public_bytes(octets).verify(signature, sha256(signed).digest())
        else:
            assert tags["a"] == "rsa-sha256"
            public = load_der_public_key(octets)
            assert isinstance(public, rsa.RSAPublicKey)
            public.verify(signature, signed, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return "header altered"
    return "pass"
