"""Authenticated encryption at rest: AES-256-GCM under keys that live outside the database.

Two levels. A *field key* (EINBOX_FIELD_KEYS, newest first) seals small secrets and wraps content keys. Each
message has a *content key* of its own, wrapped beside the message: erasing the wrapped key erases every copy
of the content, and rotating field keys rewraps 60 octets instead of the spool.

Touches no database and logs nothing. Sealed form: 1 octet version, 4 octets key id, 12 octets nonce, ciphertext
with a 16-octet tag (NIST SP 800-38D). Content form: version, nonce, ciphertext.
"""

import hmac
import os
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

VERSION = b"\x01"
NONCE = 12
TAG = 16
KEY_ID = 4
KEY = 32
PIECE = 512 * 2**10  # octets of plaintext sealed at once


class DecryptionError(Exception):
    """The ciphertext was altered, belongs elsewhere, or its key is missing."""


class ContentKey(NamedTuple):
    """The key of one message's content, extracted text and attachments."""

    key: bytes
    wrapped: bytes


@lru_cache(maxsize=1)
def _ring() -> dict[bytes, AESGCM]:
    return {bytes.fromhex(key_id): AESGCM(key) for key_id, key in settings.FIELD_KEYS.items()}


@lru_cache(maxsize=8)
def derive_key(purpose: str) -> bytes:
    """A 32-octet key for `purpose`, from the oldest field key (RFC 5869)."""
    oldest = list(settings.FIELD_KEYS.values())[-1]
    return HKDF(algorithm=SHA256(), length=KEY, salt=None, info=b"einbox " + purpose.encode()).derive(oldest)


def seal(plaintext: bytes, context: str) -> bytes:
    """Encrypt under the newest field key, bound to `context` (for example "totp:17")."""
    key_id, cipher = next(iter(_ring().items()))
    nonce = os.urandom(NONCE)
    return VERSION + key_id + nonce + cipher.encrypt(nonce, plaintext, context.encode())


def unseal(sealed: bytes, context: str) -> bytes:
    """Raises DecryptionError if `sealed` was altered, sealed for another context, or its key is gone."""
    sealed = bytes(sealed)
    cipher = _ring().get(sealed[1 : 1 + KEY_ID])
    if sealed[:1] != VERSION or cipher is None:
        raise DecryptionError("unknown version or key id")
    start = 1 + KEY_ID
    try:
        return cipher.decrypt(sealed[start : start + NONCE], sealed[start + NONCE :], context.encode())
    except InvalidTag as error:
        raise DecryptionError("the ciphertext does not verify") from error


def key_id_of(sealed: bytes) -> str:
    """The hex id of the field key that sealed this value (for rotation)."""
    return bytes(sealed[1 : 1 + KEY_ID]).hex()


def new_content_key(message_id: int) -> ContentKey:
    key = os.urandom(KEY)
    return ContentKey(key, seal(key, f"content:{message_id}"))


def unwrap_content_key(wrapped: bytes, message_id: int) -> ContentKey:
    return ContentKey(unseal(wrapped, f"content:{message_id}"), bytes(wrapped))


def encrypt_content(key: ContentKey, plaintext: bytes, label: str) -> bytes:
    """Encrypt one piece of a message; `label` names the piece ("raw", "text", …) and is authenticated."""
    nonce = os.urandom(NONCE)
    return VERSION + nonce + AESGCM(key.key).encrypt(nonce, plaintext, label.encode())


def encrypt_in_pieces(key: ContentKey, plaintext: bytes, label: str) -> Iterator[memoryview]:
    """What `encrypt_content` gives, piece by piece in one buffer: take each before the next, which overwrites it."""
    nonce = os.urandom(NONCE)
    cipher = Cipher(AES256(key.key), GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(label.encode())
    head = VERSION + nonce
    source, sealed = memoryview(plaintext), memoryview(bytearray(len(head) + PIECE + TAG))
    sealed[: len(head)] = head
    begin = 0
    for start in range(0, len(source) or 1, PIECE):
        end = len(head) + cipher.update_into(source[start : start + PIECE], sealed[len(head) :])
        if start + PIECE >= len(source):
            cipher.finalize()
            sealed[end : end + TAG] = cipher.tag
            end += TAG
        yield sealed[begin:end]
        begin = len(head)


def decrypt_content(key: ContentKey, ciphertext: bytes, label: str) -> bytes:
    ciphertext = bytes(ciphertext)
    if ciphertext[:1] != VERSION:
        raise DecryptionError("unknown version")
    try:
        return AESGCM(key.key).decrypt(ciphertext[1 : 1 + NONCE], ciphertext[1 + NONCE :], label.encode())
    except InvalidTag as error:
        raise DecryptionError("the content does not verify") from error


def content_hash(content: bytes) -> bytes:
    """HMAC-SHA-256 of a message as accepted: equal mail shows as equal, its text cannot be guessed from it."""
    return hmac.digest(derive_key("content hash"), content, sha256)


def token_hash(token: str) -> bytes:
    """SHA-256 of a random token of at least 128 bits, for look-up without storing it."""
    return sha256(token.encode()).digest()
