"""Octets and text of one MIME part: transfer encodings, charset, format=flowed. Pure, linear, never raises."""

import binascii
import re
from dataclasses import dataclass

from spool.mime import charsets, notes
from spool.mime.walk import Node

MAX_TEXT = 512 * 1024  # octets of one text part that are read
MAX_LABEL = 64

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([A-Za-z0-9_:.-]{1,40})", re.I)


@dataclass(frozen=True)
class Content:
    """Decoded octets, and a note when they may not be what was meant ("" when they are)."""

    data: bytes
    note: str = ""


def _base64(raw: bytes) -> Content:
    try:
        return Content(binascii.a2b_base64(raw))
    except binascii.Error:
        kept = _NOT_BASE64.sub(b"", raw)
        kept = kept[: len(kept) - (len(kept) % 4 == 1)]
        return Content(binascii.a2b_base64(kept + b"=" * (-len(kept) % 4)), notes.ENCODING_BROKEN)


def content(raw: bytes, node: Node, limit: int | None = None) -> Content:
    """The decoded octets of a part; only about the first `limit` octets when it is given."""
    label = node.head.get("content-transfer-encoding", b"").split(b";")[0].strip(b" \t\r\n\"'").lower()
    end = node.end
    if limit is not None:
        room = {b"base64": limit * 3 // 2 + 4, b"quoted-printable": limit * 3}.get(label, limit)
        end = min(end, node.start + room)
    body = raw[node.start : end]
    if label == b"base64":
        if end < node.end:  # cut: whole groups of four only
            body = _NOT_BASE64.sub(b"", body)
            body = body[: len(body) // 4 * 4]
        return _base64(body)
    if label == b"quoted-printable":
        return Content(binascii.a2b_qp(body))
    if label in {b"", b"7bit", b"8bit", b"binary", b"7-bit", b"8-bit", b"none"}:
        return Content(body)
    return Content(body, notes.ENCODING_UNKNOWN)


def _unflow(text: str, delete_space: bool) -> str:
    """Join the soft line breaks of format=flowed (RFC 3676 section 4.2)."""
    out: list[str] = []
    joining, depth_before = False, 0
    for line in text.split("\n"):
        stripped = line.lstrip(">")
        depth = len(line) - len(stripped)
        stripped = stripped.removeprefix(" ")
        flowed = stripped.endswith(" ") and stripped != "-- "
        piece = stripped[:-1] if flowed and delete_space else stripped
        if joining and depth == depth_before and stripped != "-- ":
            out.append(piece)
        else:
            if out:
                out.append("\n")
            out.append((">" * depth + " " if depth else "") + piece)
        joining, depth_before = flowed, depth
    return "".join(out)


def text_of(raw: bytes, node: Node) -> tuple[str, list[str]]:
    """(text with LF line ends, notes) of a text part, read up to MAX_TEXT octets."""
    found = content(raw, node, MAX_TEXT + 8)
    remarks = [found.note] if found.note else []
    data = found.data[:MAX_TEXT]
    if len(found.data) > MAX_TEXT or (node.end - node.start) > MAX_TEXT * 3:
        remarks.append(notes.TEXT_CUT)
        data = data[: _whole_characters(data)]
    label = (node.params.get("charset", "").split() or [""])[0][:MAX_LABEL]
    if node.kind == "text/html" and not label and (meta := _META_CHARSET.search(data[:2_048])):
        label = meta[1].decode("ascii")
    decoded = charsets.decode(data, label)
    if decoded.note:
        remarks.append(decoded.note)
    text = decoded.text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if node.kind == "text/plain" and node.params.get("format", "").strip().lower() == "flowed":
        text = _unflow(text, node.params.get("delsp", "").strip().lower() == "yes")
    return text.removesuffix("\n"), remarks


def _whole_characters(data: bytes) -> int:
    """The length of `data` without a UTF-8 character that a cut left incomplete."""
    for back in range(1, min(4, len(data)) + 1):
        octet = data[-back]
        if octet < 0x80:
            return len(data)
        if octet >= 0xC0:
            return len(data) - back
    return len(data)
