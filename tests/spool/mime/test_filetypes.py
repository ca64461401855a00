"""File types by their first octets, and names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.mime.filetypes import MAX_NAME, UNKNOWN, detect, disguised, safe_name

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"%PDF-1.7", "application/pdf"),
        (b"MZ\x90\0", "application/x-msdownload"),
        (b"\x7fELF", "application/x-executable"),
        (b" \n<!DOCTYPE HTML>", "text/html"),
        (b"\xef\xbb\xbf<svg ", "image/svg+xml"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"hello", UNKNOWN),
        (b"", UNKNOWN),
    ],
)
def test_detect(head: bytes, kind: str) -> None:
    assert detect(head) == kind


def test_disguised_programs() -> None:
    assert disguised("invoice.pdf", "application/pdf", "application/x-msdownload")
    assert disguised("setup.exe", "image/png", "application/x-msdownload")
    assert not disguised("setup.exe", "application/octet-stream", "application/x-msdownload")
    assert not disguised("a.pdf", "application/pdf", "application/pdf")


@given(st.text(max_size=400), st.sampled_from(["text/plain", "x/y"]))
def test_names_are_safe(name: str, kind: str) -> None:
    safe = safe_name(name, kind, 1)
    assert safe
    assert len(safe) <= MAX_NAME
    assert not set(safe) & set('/\\<>:"|?*\r\n\t\0\u202e')
    assert safe not in {".", ".."}
    assert safe_name(safe, kind, 1) == safe
