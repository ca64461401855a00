"""Encryption at rest: round trip, binding to context, tampering."""

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import crypto

pytestmark = pytest.mark.pure


@given(st.binary(max_size=300), st.text(max_size=20))
def test_seal_round_trip(plaintext: bytes, context: str) -> None:
    assert crypto.unseal(crypto.seal(plaintext, context), context) == plaintext


def test_sealed_value_is_bound_to_its_context() -> None:
    with pytest.raises(crypto.DecryptionError):
        crypto.unseal(crypto.seal(b"secret", "totp:1"), "totp:2")


@given(st.integers(min_value=0, max_value=200))
def test_any_altered_octet_is_found(position: int) -> None:
    sealed = bytearray(crypto.seal(b"x" * 168, "a"))
    sealed[position] ^= 1
    with pytest.raises(crypto.DecryptionError):
        crypto.unseal(bytes(sealed), "a")


def test_content_key_opens_only_its_own_message() -> None:
    key = crypto.new_content_key(7)
    raw = crypto.encrypt_content(key, b"mail", "raw")
    again = crypto.unwrap_content_key(key.wrapped, 7)
    assert crypto.decrypt_content(again, raw, "raw") == b"mail"
    with pytest.raises(crypto.DecryptionError):
        crypto.unwrap_content_key(key.wrapped, 8)
    with pytest.raises(crypto.DecryptionError):
        crypto.decrypt_content(again, raw, "text")


@given(st.integers(0, 70), st.integers(1, 20))
def test_content_sealed_in_pieces_is_opened_as_a_whole(length: int, piece: int) -> None:
    key, plaintext = crypto.new_content_key(7), bytes(range(length))
    with mock.patch.object(crypto, "PIECE", piece):
        pieces = [bytes(sealed) for sealed in crypto.encrypt_in_pieces(key, plaintext, "raw")]
    assert crypto.decrypt_content(key, b"".join(pieces), "raw") == plaintext
    assert max(map(len, pieces)) <= piece + 1 + crypto.NONCE + crypto.TAG
    with pytest.raises(crypto.DecryptionError):
        crypto.decrypt_content(key, b"".join(pieces), "text")
