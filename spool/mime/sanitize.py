"""HTML of a mail made safe to show, and the page it is shown in. Pure.

One allow-list (ammonia behind nh3) without svg, math, style, form and media. Links go to http, https and mailto
only; images are data: URIs of verified PNG, JPEG, GIF or WebP, every remote one is dropped and counted. Nothing
edits the result afterwards: what must change, changes in the attribute filter. This is one of two layers; the other
is the sandboxed response with its own content security policy.
"""

import re
import threading
from base64 import b64decode, b64encode
from binascii import Error as BinasciiError
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import nh3

from spool.mime import filetypes, nesting, notes, styles, textual

MAX_DATA_URI = 4 * 1024 * 1024  # characters of one inline image
MAX_PASSES = 4

_TAGS = {
    "a", "abbr", "address", "article", "aside", "b", "bdi", "big", "blockquote", "br", "caption", "center", "cite",
    "code", "col", "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure", "font",
    "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "img", "ins", "kbd", "li", "main", "mark", "ol",
    "p", "pre", "q", "s", "samp", "section", "small", "span", "strike", "strong", "sub", "summary", "sup", "table",
    "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr",
}  # fmt: skip
_CONTENT_DROPPED = {
    "script", "style", "title", "svg", "math", "template", "noscript", "iframe", "object", "embed", "applet", "audio",
    "video", "textarea", "select", "option", "button", "xmp", "noembed", "noframes", "plaintext", "canvas", "head",
}  # fmt: skip
_BOX = {"align", "valign", "width", "height", "bgcolor"}
_ATTRIBUTES = {
    "*": {"style", "dir", "lang", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "border", "align"},
    "table": _BOX | {"border", "cellpadding", "cellspacing"},
    "td": _BOX | {"colspan", "rowspan", "nowrap"},
    "th": _BOX | {"colspan", "rowspan", "nowrap", "scope"},
    "tr": _BOX,
    "col": {"span", "width", "align"},
    "colgroup": {"span", "width", "align"},
    "font": {"color", "face", "size"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "li": {"value"},
    "hr": {"align", "size", "width"},
    "div": {"align"},
    "p": {"align"},
    "h1": {"align"}, "h2": {"align"}, "h3": {"align"}, "h4": {"align"}, "h5": {"align"}, "h6": {"align"},
}  # fmt: skip
_LINK = re.compile(r"(?:https?://|mailto:)[^\x00-\x20\x7f]+", re.I)
_DATA = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,([A-Za-z0-9+/]{24,}={0,2})")
_PLAIN_VALUE = re.compile(r"[#\w%,. :-]{0,100}")


@dataclass(frozen=True)
class Sanitized:
    """HTML that is ready to be sent in the sandboxed response, final as it is; and how many remote images are gone."""

    html: str
    blocked_images: int


class _State(threading.local):
    """What one call of sanitize collects; the cleaner is built once and calls back in the same thread."""

    images: Mapping[str, str] = {}
    blocked = 0


_state = _State()


def data_uri(kind: str, data: bytes) -> str:
    """A data: URI for an image of a type in filetypes.INLINE_IMAGES."""
    return f"data:{kind};base64,{b64encode(data).decode('ascii')}"


def _verified(uri: str) -> str | None:
    """`uri` if it is an image of the type it says, by its first octets."""
    match = _DATA.fullmatch(uri)
    if match is None or len(uri) > MAX_DATA_URI:
        return None
    try:
        head = b64decode(match[2][:64])
    except (BinasciiError, ValueError):
        return None
    return uri if filetypes.detect(head) == match[1] else None


def _source(value: str) -> str | None:
    value = value.strip()
    scheme, _, rest = value.partition(":")
    scheme = scheme.lower()
    if scheme == "data":
        return _verified(value)
    if scheme == "cid":
        return _verified(_state.images.get(rest, ""))
    if scheme in {"http", "https"} or value.startswith("//"):
        _state.blocked += 1
    return None


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "style":
        return styles.clean_style(value) or None
    if name == "src":
        return _source(value)
    if name == "href":
        link = value.strip()
        return link if _LINK.fullmatch(link) else None
    if name in {"target", "rel", "alt", "title"}:
        return value
    return value if _PLAIN_VALUE.fullmatch(value) else None


_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags=_CONTENT_DROPPED,
    attributes=_ATTRIBUTES,
    attribute_filter=_attribute,
    strip_comments=True,
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    url_schemes={"http", "https", "mailto", "cid", "data"},
    url_relative="pass_through",  # the filter refuses them; here they could not be counted
)


def sanitize(html: str, inline_images: Mapping[str, str] | None = None) -> Sanitized:
    """`inline_images` maps a Content-ID to its data: URI. sanitize(sanitize(x).html) changes nothing.

    HTML whose tree changes with every reading (mutation), or nests too deeply, is shown as text instead.
    """
    if nesting.too_deep(html):
        return _as_text(html)
    _state.images, _state.blocked = inline_images or {}, 0
    try:
        before = _CLEANER.clean(html)
        blocked = _state.blocked
        for _ in range(MAX_PASSES):
            after = _CLEANER.clean(before)
            if after == before:
                return Sanitized(after, blocked)
            before = after
    finally:
        _state.images = {}
    return _as_text(html)


def _as_text(html: str) -> Sanitized:
    return Sanitized(f"<pre>{escape(textual.html_to_text(html), quote=False)}</pre>", 0)


# The tokens of the design system (einbox/static/einbox/app.css): this page has no other style sheet.
_LIGHT = "color-scheme:light;--ink:#1a1b1e;--muted:#66666b;--paper:#fff;--line:#dfdcd5;--link:#234fb0"
_DARK = "color-scheme:dark;--ink:#ececea;--muted:#989ba2;--paper:#181a1e;--line:#2b2e34;--link:#9db8ff"
_STYLE = (
    "html{{{colours}}}{system}html{{color:var(--ink);background:var(--paper);"
    "font:16px/26px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}}"
    "body{{margin:0;padding:{padding};overflow-wrap:anywhere}}img{{max-width:100%;height:auto}}table{{max-width:100%}}"
    "pre{{white-space:pre-wrap;font:inherit}}a{{color:var(--link)}}"
    "blockquote{{margin:.5rem 0;padding-left:.75rem;border-left:2px solid var(--line);color:var(--muted)}}"
    "details.quote>summary{{cursor:pointer;color:var(--muted);padding:.25rem 0}}"
    ".plain{{white-space:pre-wrap;max-width:64ch}}.signature{{color:var(--muted)}}"
)


def document(content: Sanitized | str, *, dark: bool | None = False, title: str = "", language: str = "en") -> str:
    """The whole page for the sandboxed response. `content` comes from sanitize or plain.to_html, nowhere else.

    `dark` None follows the reader's system. HTML mail is designed on white and stays so.
    """
    paper = isinstance(content, Sanitized)
    body = content.html if isinstance(content, Sanitized) else content
    style = _STYLE.format(
        colours=_DARK if dark and not paper else _LIGHT,
        system=f"@media(prefers-color-scheme:dark){{html{{{_DARK}}}}}" if dark is None and not paper else "",
        padding="1rem" if paper else "0 0 1rem",
    )
    return (
        f'<!doctype html><html lang="{escape(language)}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head><body>{body}</body></html>'
    )


UNREADABLE = document(f"<p>{escape(notes.UNREADABLE)}</p>")
