"""Target `html`: the cleaner for HTML mail. What comes out is read by parsers that are not the cleaner's own."""

import json
import sys
from types import SimpleNamespace
from typing import Any

from spool.mime import nesting, plain, textual
from spool.mime.sanitize import document, sanitize
from spool.mime.spoof import misleading_links
from spool.mime.styles import clean_style
from tests.corpora import CORPORA
from tests.fuzz import wording
from tests.fuzz.target import Target, check
from tests.spool.mime.test_sanitize import FORBIDDEN_IN_STYLE, PNG, Danger

try:
    import html5lib
except ImportError:  # optional, like Atheris: a second opinion
    html5lib = None

TOKENS = (
    b"<", b">", b"</", b"/>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?", b"&lt;", b"&#", b"&#x0;", b"&Tab;",
    b"\0", b"\r", b"\x0c", b"<svg>", b"</svg>", b"<math>", b"<mtext>", b"<mglyph>", b"<style>", b"</style>",
    b"<script>", b"</script>", b"<template>", b"<table>", b"<td>", b"<caption>", b"<select>", b"<option>", b"<form>",
    b"<textarea>", b"<title>", b"<noscript>", b"<plaintext>", b"<foreignObject>", b"<desc>",
    b"<annotation-xml encoding=text/html>", b"<a href=", b"<img src=", b"<font color=", b"<p style=", b"javascript:",
    b"java\tscript:", b"data:image/png;base64,", b"cid:a", b"http://x", b"//x", b"mailto:a@b", b"vbscript:",
    b"color:red;", b"background:", b"url(x)", b"ur\\6c(", b"/*", b"*/", b"expression(", b"@import", b"!important",
    b"{", b"}", b"(", b" onerror=a", b" id=a", b" class=a", b" srcset=b", b"'", b'"', b"`", b"=", b" ", b"<pre>\n",
    b"<listing>", b"<xmp>", b"&nbsp;", b"<b>", b"<i>", b"</b>", b"<nobr>", b"<details open>", b"<summary>",
    b"<br></br>", b"</p>", "\u2028".encode(), b"\xff",
)  # fmt: skip
OWN = (
    b"<p onclick=x>Hi</p><script>alert(1)</script>", b"<a href=' HTTPS://x.test/ '>a</a>",
    b"<svg><p><style><a id='</style><img src=x>'>",
    b"<form><math><mtext></form><form><mglyph><style></math><img src onerror=x>",
    b'<p style="color:red;background:url(x)">x', b"<img src=cid:a><img src=http://t/x>",
    b"<pre>&#13;&nbsp;x</pre>" + b"<b><p>" * 40, b"&lt;" * 3 + b"<table><a><td></a>",
)  # fmt: skip


def check_clean(html: str) -> None:
    check(Danger(html).found == [], "something that is not allowed is left", Danger(html).found, html)
    if html5lib is not None:
        check_tree(html5lib.parseFragment(html, treebuilder="etree", namespaceHTMLElements=False), html)


def check_tree(tree: Any, html: str) -> None:
    """The same promises, asked of the tree that an HTML5 parser makes of the result."""
    seen = Danger("")
    for element in tree.iter():
        if element is tree:
            continue
        check(isinstance(element.tag, str), "a comment is left", html)
        seen.handle_starttag(element.tag, list(element.attrib.items()))
    check(seen.found == [], "an HTML5 parser sees what is not allowed", seen.found, html)


def run(data: bytes) -> None:
    html = data.decode("utf-8", "replace").replace("\0", "")
    with _Unraised() as unraised:
        found = sanitize(html, {"a": PNG, "b": "data:text/html,x"})
    check(not unraised.seen, "an exception inside the cleaner lets a value through", unraised.seen)
    wording.storable(found.html)
    check_clean(found.html)
    check(sanitize(found.html, {"a": PNG}).html == found.html, "cleaning what is clean changes it", found.html)
    check(document(found, title=html).count("</body>") == 1, "the page ends twice")
    wording.storable(textual.html_to_text(html))
    misleading_links(html)
    nesting.too_deep(html)
    shown = plain.to_html(html)
    check(
        not Danger(shown.replace(' class="plain"', "").replace(' class="quote"', "")).found, "text became markup", shown
    )
    style = clean_style(html)
    check(clean_style(style) == style, "cleaning a clean style changes it", style)
    check(not any(word in style.lower() for word in FORBIDDEN_IN_STYLE), "a style that may fetch", style)


class _Unraised:
    """Collects exceptions that compiled code swallowed."""

    def __enter__(self) -> SimpleNamespace:
        self.before = sys.unraisablehook
        found = SimpleNamespace(seen=[])
        sys.unraisablehook = lambda one: found.seen.append(repr(one.exc_value))
        return found

    def __exit__(self, *_error: object) -> None:
        sys.unraisablehook = self.before


def seeds() -> list[bytes]:
    corpus = CORPORA / "html" / "dompurify-expect.json"
    found = json.loads(corpus.read_text(encoding="utf-8")) if corpus.is_file() else []
    bleach = sorted((CORPORA / "html" / "bleach").glob("*.test"))
    return [
        *OWN,
        *(one["payload"].encode("utf-8", "replace") for one in found),
        *(path.read_bytes() for path in bleach),
    ]


TARGETS = (Target("html", run, seeds, TOKENS, longest=2_000),)
