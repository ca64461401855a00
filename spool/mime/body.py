"""Which parts are the text, which the HTML, which attachments (RFC 8621 section 4.1.4). Pure."""

from dataclasses import dataclass, field

from spool.mime.walk import Node

SHOWN_DEPTH = 20  # parts nested deeper are offered as files, never shown as the body


@dataclass
class Selection:
    """Nodes in the order in which they are shown."""

    text: list[Node] = field(default_factory=list)
    html: list[Node] = field(default_factory=list)
    files: list[Node] = field(default_factory=list)


@dataclass
class _Lists:
    text: list[Node] | None
    html: list[Node] | None
    files: list[Node]


def _is_inline_media(node: Node) -> bool:
    return node.kind.startswith(("image/", "audio/", "video/"))


def has_name(node: Node) -> bool:
    """Whether the part says how its file is called."""
    return bool(node.disposition[1].get("filename") or node.params.get("name"))


def _is_inline(node: Node, position: int, parent_kind: str) -> bool:
    if node.disposition[0] == "attachment":
        return False
    if node.kind not in {"text/plain", "text/html"} and not _is_inline_media(node):
        return False
    return position == 0 or (parent_kind != "multipart/related" and (_is_inline_media(node) or not has_name(node)))


def _leaf(node: Node, position: int, parent_kind: str, in_alternative: bool, lists: _Lists) -> None:
    if not _is_inline(node, position, parent_kind):
        lists.files.append(node)
        return
    if parent_kind == "multipart/alternative":
        target = {"text/plain": lists.text, "text/html": lists.html}.get(node.kind, lists.files)
        if target is not None:
            target.append(node)
        return
    if in_alternative and node.kind == "text/plain":
        lists.html = None
    if in_alternative and node.kind == "text/html":
        lists.text = None
    for shown in (lists.text, lists.html):
        if shown is not None and not _is_inline_media(node):
            shown.append(node)
    if _is_inline_media(node):
        lists.files.append(node)


def _visit(children: list[Node], parent_kind: str, in_alternative: bool, lists: _Lists, depth: int) -> None:
    """Recursion ends at SHOWN_DEPTH."""
    before_text = len(lists.text) if lists.text is not None else -1
    before_html = len(lists.html) if lists.html is not None else -1
    for position, node in enumerate(children):
        if not node.is_multipart:
            _leaf(node, position, parent_kind, in_alternative, lists)
        elif depth < SHOWN_DEPTH:
            inner = _Lists(lists.text, lists.html, lists.files)
            _visit(node.children, node.kind, in_alternative or node.kind == "multipart/alternative", inner, depth + 1)
        else:
            lists.files.extend(leaves(node))
    if parent_kind != "multipart/alternative" or lists.text is None or lists.html is None:
        return
    if before_text == len(lists.text) and before_html != len(lists.html):
        lists.text.extend(lists.html[max(before_html, 0) :])
    elif before_html == len(lists.html) and before_text != len(lists.text):
        lists.html.extend(lists.text[max(before_text, 0) :])


def leaves(node: Node) -> list[Node]:
    """Every entity below `node` that is not itself a multipart, in order; iterative."""
    found, stack = [], [node]
    while stack:
        one = stack.pop()
        if one.is_multipart:
            stack.extend(reversed(one.children))
        else:
            found.append(one)
    return found


def select(root: Node) -> Selection:
    """Every leaf of the tree lands in at least one of the three lists."""
    text: list[Node] = []
    html: list[Node] = []
    files: list[Node] = []
    _visit([root], "multipart/mixed", False, _Lists(text, html, files), 0)
    shown = {id(node) for node in text} | {id(node) for node in html} | {id(node) for node in files}
    files.extend(node for node in leaves(root) if id(node) not in shown)
    return Selection(text, html, files)
