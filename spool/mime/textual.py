"""Plain text out of HTML, for search, snippets and replies. Pure; the result is text and is escaped where shown."""

import html as entities
import re

import nh3

from spool.mime import nesting

_BREAKS = {"p", "br", "div", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "ul", "ol", "pre"}
_DROPPED = {"script", "style", "head", "title", "svg", "math", "template", "noscript", "object", "iframe", "textarea"}
_CLEANER = nh3.Cleaner(tags=_BREAKS, clean_content_tags=_DROPPED, attributes={}, link_rel=None)
_TAG = re.compile(r"<(/?)([a-z0-9]{1,10})>")
_ANY_TAG = re.compile(r"<[^<>]*>")
_BLANKS = re.compile(r"\n{3,}")
_SPACES = re.compile(r"[ \t\n\r\f\xa0]+")


def _break(match: re.Match[str]) -> str:
    closing, tag = match[1], match[2]
    if tag == "br":
        return "\n"
    return "\n\n" if tag in {"p", "blockquote", "ul", "ol", "table"} and closing else "\n"


def html_to_text(html: str) -> str:
    """Lines of text with block elements as line breaks. Images, styles and scripts vanish."""
    if nesting.too_deep(html):
        return _SPACES.sub(" ", entities.unescape(_ANY_TAG.sub(" ", html))).strip()
    clean = _CLEANER.clean(html)  # leaves only attribute-free tags of _BREAKS, so this expression is exact
    text = _TAG.sub(_break, _SPACES.sub(" ", clean))
    lines = "\n".join(line.strip() for line in entities.unescape(text).split("\n"))
    return _BLANKS.sub("\n\n", lines).strip()
