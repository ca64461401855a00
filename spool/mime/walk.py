"""The tree of a MIME message found in one pass over its octets (RFC 2045, RFC 2046). Pure, linear, no recursion.

Lines that start with two hyphens are the only candidates for a boundary; each is looked up once among the
boundaries that are open. Nothing is copied: a part is a pair of offsets.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property

from spool.mime import charsets, headers, notes, params

MAX_DEPTH = 100  # multiparts inside each other; what is deeper stays one opaque part
MAX_PARTS = 1_000
MAX_CANDIDATES = 1_000_000  # lines starting with two hyphens that are looked at
MAX_BOUNDARY = 200

_CANDIDATE = re.compile(rb"\n--[^\n]*")
_HEAD_STOP = re.compile(rb"\n(?:\r?(?=\n)|--[^\n]*)")
_KEPT = frozenset({"content-type", "content-disposition", "content-transfer-encoding", "content-id"})
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


@dataclass
class Node:
    """One entity: its header fields and where its body lies in the raw octets."""

    depth: int
    head: dict[str, bytes]  # the fields of _KEPT, the first of each
    start: int
    end: int = -1
    kind: str = "text/plain"
    params: dict[str, str] = field(default_factory=dict)
    children: list["Node"] = field(default_factory=list)
    index: int = 0

    @property
    def is_multipart(self) -> bool:
        return self.kind.startswith("multipart/") and bool(self.children)

    @cached_property
    def disposition(self) -> tuple[str, dict[str, str]]:
        return params.parse(charsets.header_text(self.head.get("content-disposition", b"")))


@dataclass
class Tree:
    """All entities in order of their appearance; the first is the message itself."""

    nodes: list[Node]
    notes: list[str]
    fields: list[tuple[str, bytes]]  # of the message itself, all of them, in order

    @property
    def root(self) -> Node:
        return self.nodes[0]


class _Walk:
    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.tree = Tree([], [], [])
        self.open: list[tuple[bytes, Node]] = []  # boundaries, outermost first
        self.lookup: dict[bytes, int] = {}
        self.current: Node | None = None  # the leaf being read, if any
        self.candidates = 0

    def note(self, text: str) -> None:
        if text not in self.tree.notes:
            self.tree.notes.append(text)

    def level(self, line: bytes) -> tuple[int, bool] | None:
        """(index of the open multipart, is it the closing line) for a line that starts with two hyphens."""
        self.candidates += 1
        if not self.lookup or len(line) > MAX_BOUNDARY + 8:
            return None
        text = line.rstrip(b" \t\r\n")[2:]
        if (found := self.lookup.get(text)) is not None:
            return found, False
        if text.endswith(b"--") and (found := self.lookup.get(text[:-2])) is not None:
            return found, True
        return None

    def header_end(self, start: int) -> tuple[int, int]:
        """Like headers.block_end, but a line with an open boundary ends the header too."""
        if not self.lookup:
            return headers.block_end(self.raw, start)
        if self.raw.startswith((b"\r\n", b"\n"), start):
            return start, self.raw.index(b"\n", start) + 1
        if self.raw.startswith(b"--", start):
            line = self.raw[start : start + MAX_BOUNDARY + 9].partition(b"\n")[0]
            if self.level(line):
                return start, start
        for match in _HEAD_STOP.finditer(self.raw, start):
            if match[0].startswith(b"\n--"):
                if self.level(match[0][1:]):
                    return match.start() + 1, match.start() + 1
            else:
                return match.start() + 1, match.end() + 1
            if self.candidates > MAX_CANDIDATES:
                break
        return len(self.raw), len(self.raw)

    def begin(self, start: int) -> int:
        """Read the header of an entity that starts here; the offset where its body starts."""
        head_end, body = self.header_end(start)
        found = self.read_fields(start, head_end)
        if head_end - start > headers.MAX_BLOCK or len(found) >= headers.MAX_FIELDS:
            self.note(notes.HEADERS_CUT)
        if not self.tree.nodes:
            self.tree.fields = found
        head = {name: value for name, value in reversed(found) if name in _KEPT}
        node = Node(len(self.open), head, body, index=len(self.tree.nodes))
        self.classify(node)
        if (early := self.own_boundary(node, start, head_end)) >= 0:
            node.start = body = early
        if self.open:
            self.open[-1][1].children.append(node)
        self.tree.nodes.append(node)
        self.current = node
        self.enter(node)
        return body

    def read_fields(self, start: int, end: int) -> list[tuple[str, bytes]]:
        return headers.fields(self.raw[start : min(end, start + headers.MAX_BLOCK)])

    def own_boundary(self, node: Node, start: int, head_end: int) -> int:
        """Where the first boundary line of a multipart stands inside its header (no empty line before it), or -1."""
        boundary = node.params.get("boundary", "").rstrip().encode("utf-8", "replace")
        if not boundary or not node.kind.startswith("multipart/"):
            return -1
        found = self.raw.find(b"\n--" + boundary, start, min(head_end, start + headers.MAX_BLOCK))
        return found + 1 if found >= 0 else -1

    def classify(self, node: Node) -> None:
        kind, found = params.parse(charsets.header_text(node.head.get("content-type", b"")))
        if not _TYPE.fullmatch(kind):
            digest = self.open and self.open[-1][1].kind == "multipart/digest" and not kind
            kind = "message/rfc822" if digest else "text/plain"
        node.kind, node.params = kind, found

    def enter(self, node: Node) -> None:
        """Open a multipart, so that its boundary is looked for."""
        if not node.kind.startswith("multipart/"):
            return
        boundary = node.params.get("boundary", "").rstrip().encode("utf-8", "replace")
        if not boundary or len(boundary) > MAX_BOUNDARY:
            self.note(notes.NO_BOUNDARY)
        elif len(self.open) >= MAX_DEPTH:
            self.note(notes.DEPTH_CUT)
        else:
            self.open.append((boundary, node))
            self.lookup[boundary] = len(self.open) - 1

    def close(self, keep: int, at: int) -> None:
        """End the current leaf and every open multipart from number `keep` on, at offset `at`."""
        if self.current is not None and self.current.end < 0:
            self.current.end = max(self.current.start, at)
        self.current = None
        if len(self.open) > keep:
            for _, node in self.open[keep:]:
                if node.end < 0:
                    node.end = max(node.start, at)
            del self.open[keep:]
            self.lookup = {boundary: number for number, (boundary, _) in enumerate(self.open)}

    def line_end(self, at: int) -> int:
        """The offset before the line end that precedes a boundary: it belongs to the boundary (RFC 2046 5.1.1)."""
        return at - 1 if at > 0 and self.raw[at - 1 : at] == b"\r" else at

    def run(self) -> Tree:
        position = self.begin(0)
        while self.open and self.candidates <= MAX_CANDIDATES:
            match = _CANDIDATE.search(self.raw, max(position - 1, 0))
            if match is None:
                break
            position = match.end()
            found = self.level(match[0][1:])
            if found is None:
                continue
            number, closing = found
            self.close(number if closing else number + 1, self.line_end(match.start()))
            if closing:
                continue
            if len(self.tree.nodes) >= MAX_PARTS:
                self.note(notes.PARTS_CUT)
                break
            if position + 1 >= len(self.raw):  # a boundary as the very last line begins nothing
                break
            position = self.begin(position + 1)
        if self.candidates > MAX_CANDIDATES:
            self.note(notes.PARTS_CUT)
        if self.open and notes.PARTS_CUT not in self.tree.notes:
            self.note(notes.UNFINISHED)
        self.close(0, len(self.raw))
        return self.tree


def walk(raw: bytes) -> Tree:
    """Never raises; O(len(raw))."""
    return _Walk(raw).run()
