"""Reading a message: octets in, ParsedMessage out. Pure, linear in the size, never raises on bad mail.

Caps: 100 KiB and 1,000 fields of headers, 500 addresses a header, 200 encoded words a value, 50 parameters, 1,000
parts, depth 100 (20 shown), 512 KiB of each text. What lies beyond stays in the original, and a note says so.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_tz
from html import escape

from spool.mime import addresses, body, charsets, decode, filetypes, headers, notes, spoof, textual, words
from spool.mime.parsed import MailAddress, ParsedMessage, Part
from spool.mime.walk import Node, Tree, walk

__all__ = ["MailAddress", "ParsedMessage", "Part", "PartMissingError", "inline_images", "parse", "part_content"]

MAX_TEXT = 1024 * 1024  # characters of the whole text, and of the whole HTML
MAX_REFERENCES = 100
MAX_LINE = 998  # characters of a subject or identifier that are kept
MAX_INLINE = 10 * 1024 * 1024  # octets of all inline images of one message
# RFC 5322 section 3.6: fields that occur at most once and are shown.
_ONCE = frozenset({"from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "reply-to"})
_ID = re.compile(r"<([^<>\s]{1,998})>")


class PartMissingError(LookupError):
    """The message has no part of that number."""


def _first(fields: list[tuple[str, bytes]]) -> dict[str, bytes]:
    return dict(reversed(fields))


def _date(raw: bytes, remarks: list[str]) -> datetime | None:
    text = words.clean(charsets.header_text(raw[:200]))
    if not text:
        return None
    try:
        found = parsedate_tz(text)
        if found is None:
            raise ValueError(text)
        moment = datetime(*found[:5], min(found[5], 59), tzinfo=UTC)
        date = datetime.fromtimestamp(moment.timestamp() - (found[9] or 0), UTC)
        if not 1 < date.year < 9999:  # a reader's time zone may lie on the other side of what a clock can show
            raise ValueError(text)
        return date
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        remarks.append(notes.DATE_ODD)
        return None


def _addresses(raw: bytes, remarks: list[str]) -> tuple[MailAddress, ...]:
    found = addresses.parse_list(charsets.header_text(raw)) if raw else ()
    if len(found) >= addresses.MAX_ADDRESSES:
        remarks.append(notes.ADDRESSES_CUT)
    return found


def _references(raw: bytes) -> tuple[str, ...]:
    found = [words.clean(match[1]) for match in _ID.finditer(charsets.header_text(raw))]
    return tuple(found[:1] + found[1:][-(MAX_REFERENCES - 1) :])


def _name(node: Node) -> str:
    return node.disposition[1].get("filename") or node.params.get("name", "")


def _content_id(node: Node) -> str:
    return headers.message_id(node.head.get("content-id", b""))[:MAX_LINE]


def _file_name(raw: bytes, node: Node, number: int) -> str:
    name = _name(node)
    if not name and node.kind == "message/rfc822":
        subject = headers.scan(raw[node.start : min(node.end, node.start + headers.MAX_BLOCK)]).subject
        name = f"{subject.replace('/', '-')}.eml" if subject else ""
    return filetypes.safe_name(name, node.kind, number)


def _part(raw: bytes, node: Node, number: int, has_html: bool, remarks: list[str]) -> Part:
    found = decode.content(raw, node)
    if found.note:
        remarks.append(found.note)
    true_type = filetypes.detect(found.data[: filetypes.HEAD])
    name = _file_name(raw, node, number)
    if filetypes.disguised(name, node.kind, true_type):
        remarks.append(notes.PROGRAM_DISGUISED)
    content_id = _content_id(node)
    inline = has_html and bool(content_id) and true_type in filetypes.INLINE_IMAGES
    inline = inline and node.disposition[0] != "attachment"
    return Part(node.index, name, node.kind[:100], true_type, len(found.data), content_id, inline)


def _body_text(raw: bytes, nodes: list[Node], remarks: list[str]) -> str:
    pieces = []
    for node in nodes:
        text, found = decode.text_of(raw, node)
        remarks.extend(found)
        pieces.append(textual.html_to_text(text) if node.kind == "text/html" else text)
    return "\n".join(pieces)


def _body_html(raw: bytes, nodes: list[Node], remarks: list[str]) -> str:
    if not any(node.kind == "text/html" for node in nodes):
        return ""
    pieces = []
    for node in nodes:
        text, found = decode.text_of(raw, node)
        remarks.extend(found)
        pieces.append(text if node.kind == "text/html" else f"<pre>{escape(text)}</pre>")
    return "\n".join(pieces)


def _warnings(senders: tuple[MailAddress, ...], html: str) -> list[str]:
    found = []
    if any(spoof.sender_disguised(one) for one in senders[:10]):
        found.append(notes.SENDER_DISGUISED)
    if any(spoof.mixed_alphabets(one.address) for one in senders[:10]):
        found.append(notes.SENDER_ALPHABETS)
    if spoof.misleading_links(html):
        found.append(notes.LINK_MISLEADING)
    return found


def _cut(text: str, remarks: list[str]) -> str:
    if len(text) > MAX_TEXT:
        remarks.append(notes.TEXT_CUT)
        return text[:MAX_TEXT]
    return text


def _assemble(raw: bytes, tree: Tree) -> ParsedMessage:
    remarks = list(tree.notes)
    head = _first(tree.fields)
    names = [name for name, _ in tree.fields if name in _ONCE or name == "content-type"]
    if len(names) != len(set(names)):
        remarks.append(notes.DUPLICATE_HEADER)
    chosen = body.select(tree.root)
    html = _cut(_body_html(raw, chosen.html, remarks), remarks)
    text = _cut(_body_text(raw, chosen.text, remarks), remarks)
    parts = tuple(_part(raw, node, number, bool(html), remarks) for number, node in enumerate(chosen.files, 1))
    reply = headers.message_id(head.get("in-reply-to", b""))[:MAX_LINE]
    senders = _addresses(head.get("from", b""), remarks)
    remarks.extend(_warnings(senders, html))
    return ParsedMessage(
        subject=words.display(head.get("subject", b""))[:MAX_LINE],
        from_=senders,
        reply_to=_addresses(head.get("reply-to", b""), remarks),
        to=_addresses(head.get("to", b""), remarks),
        cc=_addresses(head.get("cc", b""), remarks),
        date=_date(head.get("date", b""), remarks),
        message_id=headers.message_id(head.get("message-id", b""))[:MAX_LINE],
        in_reply_to=reply,
        references=_references(head.get("references", b"")),
        text=text,
        html=html,
        text_of_html=[node.index for node in chosen.text] == [node.index for node in chosen.html],
        parts=parts,
        notes=tuple(dict.fromkeys(remarks)),
    )


def parse(raw: bytes) -> ParsedMessage:
    """Read a message. Never raises: what cannot be read leaves its field empty and a note."""
    return _assemble(raw, walk(raw))


def _node(tree: Tree, index: int) -> Node:
    if not 0 <= index < len(tree.nodes) or tree.nodes[index].is_multipart:
        raise PartMissingError(index)
    return tree.nodes[index]


def part_content(raw: bytes, index: int) -> bytes:
    """The decoded octets of part `index` of parse(raw).parts. Raises PartMissingError."""
    return decode.content(raw, _node(walk(raw), index)).data


def inline_images(raw: bytes, message: ParsedMessage) -> Mapping[str, tuple[str, bytes]]:
    """Content-ID to (type, octets) of the inline images, up to MAX_INLINE octets in all."""
    tree = walk(raw)
    found: dict[str, tuple[str, bytes]] = {}
    room = MAX_INLINE
    for part in message.parts:
        if part.inline and part.size <= room and part.content_id not in found:
            found[part.content_id] = part.true_type, decode.content(raw, _node(tree, part.index)).data
            room -= part.size
    return found
