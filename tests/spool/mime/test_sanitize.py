"""HTML of mail: nothing dangerous survives, and cleaning what is clean changes nothing (C30-C32)."""

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spool.mime import sanitize as module
from spool.mime.sanitize import data_uri, document, sanitize
from spool.mime.styles import clean_style
from tests.corpora import CORPORA

pytestmark = pytest.mark.pure

PNG = data_uri("image/png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
FORBIDDEN_IN_STYLE = ("url(", "\\", "@", "var(", "expression", "image-set", "<")


class Danger(HTMLParser):
    """Everything in a text that the allow-list does not know; an independent reader, not the cleaner's own."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in module._TAGS:
            self.found.append(tag)
        allowed = (
            module._ATTRIBUTES["*"] | module._ATTRIBUTES.get(tag, set()) | ({"target", "rel"} if tag == "a" else set())
        )
        for name, value in attrs:
            text = (value or "").lower()
            if name not in allowed:
                self.found.append(f"{tag} {name}")
            if name == "href" and not text.startswith(("http://", "https://", "mailto:")):
                self.found.append(f"href {text}")
            if name == "src" and not text.startswith("data:image/"):
                self.found.append(f"src {text}")
            if name == "style" and any(word in text for word in FORBIDDEN_IN_STYLE):
                self.found.append(f"style {text}")

    def handle_comment(self, data: str) -> None:
        self.found.append("comment")

    def handle_decl(self, decl: str) -> None:
        self.found.append("declaration")

    def handle_pi(self, data: str) -> None:
        self.found.append("processing instruction")


def is_dangerous(html: str) -> bool:
    try:
        return bool(Danger(html).found)
    except AssertionError:  # html.parser gives up on some declarations
        return True


def assert_clean(html: str) -> None:
    once = sanitize(html)
    assert Danger(once.html).found == []
    assert sanitize(once.html).html == once.html


@pytest.mark.parametrize(
    ("html", "clean"),
    [
        ("<p onclick=x>Hi</p><script>alert(1)</script>", "<p>Hi</p>"),
        ('<a href="javascript:alert(1)">a</a>', '<a target="_blank" rel="noopener noreferrer nofollow">a</a>'),
        ('<a href=" HTTPS://x.test/ ">a</a>',
         '<a href="HTTPS://x.test/" target="_blank" rel="noopener noreferrer nofollow">a</a>'),
        ('<a href="//x.test">a</a>', '<a target="_blank" rel="noopener noreferrer nofollow">a</a>'),
        ("<a href='data:text/html,x'>a</a>", '<a target="_blank" rel="noopener noreferrer nofollow">a</a>'),
        ("<svg><script>x</script></svg><math><mi>y</mi></math>z", "z"),
        ("<style>p{color:red}</style><form action=x>f<input></form>", "f"),
        ('<td background="http://t/x">a', "a"),
        ("<img src=http://t/x srcset=http://t/y alt=A>", '<img alt="A">'),
        ('<p style="color:red;background:url(http://t)">x</p>', '<p style="color: red">x</p>'),
        ('<p class=a id=b data-x=c>x</p>', "<p>x</p>"),
        ("<!-- x --><p>a", "<p>a</p>"),
        ("<iframe src=x>y</iframe><video src=z></video><base href=x><meta http-equiv=refresh>a", "a"),
    ],
)  # fmt: skip
def test_examples(html: str, clean: str) -> None:
    assert sanitize(html).html == clean
    assert_clean(html)


def test_images() -> None:
    html = '<img src="cid:a@x"><img src="cid:unknown"><img src="http://t/x"><img src="//t/y"><img src="HTTPS://t/z">'
    found = sanitize(html, {"a@x": PNG, "unknown": "data:image/svg+xml;base64,PHN2Zz4="})
    assert found.html == f'<img src="{PNG}"><img><img><img><img>'
    assert found.blocked_images == 3
    assert sanitize(found.html).html == found.html
    assert sanitize(f'<img src="{PNG.replace("png", "gif", 1)}">').html == "<img>"  # not what it says
    assert sanitize('<img src="data:text/html;base64,PHNjcmlwdD4=">').html == "<img>"


@pytest.mark.parametrize(
    ("style", "clean"),
    [
        ("color:red", "color: red"),
        ("COLOR : rgb(1, 2, 3) ! important", "color: rgb(1, 2, 3) !important"),
        ("background:#fff", "background-color: #fff"),
        ("background:#fff url(x)", ""),
        ("color:url(x)", ""),
        ("width:calc(1px)", ""),
        ("color:var(--x)", ""),
        ("position:fixed;top:0;color:blue", "color: blue"),
        ("colo\\72:red", "color: red"),
        ("background-color:ur\\6c(x)", ""),
        ("font-family:'a\\'b'", 'font-family: "a\'b"'),
        ("font-family:\"Segoe UI\",Arial", 'font-family: "Segoe UI",Arial'),
        ("display:flex;display:none", "display: none"),
        ("@import 'x';color:red", "color: red"),
        ("color:red;}body{x:y", "color: red"),
        ("color:" + "a" * 5_000, ""),
        ("font-family:'</style>'", ""),
    ],
)  # fmt: skip
def test_styles(style: str, clean: str) -> None:
    assert clean_style(style) == clean
    assert clean_style(clean) == clean


PIECES = [
    "<p>", "</p>", "<a href=", "'javascript:x'", "https://x.test", ">", "<", "<svg>", "<math>", "<style>", "</style>",
    "<table>", "<td>", "<b>", "</b>", "<a>", "</a>", "<!--", "-->", "<title>", "<noscript>", "<template>", "]]>",
    "&lt;", "&#x3c;", "\0", "<img src=x onerror=y>", "<p style='", "color:red", ";background:url(x)", "'", "<form>",
    "<font color=red>", "x", "é", "</svg>", "<mtext>", "<mglyph>", "<select>", "<option>", "<h1>", "<dd>", "<button>",
    "<nobr>", "<textarea>", "<plaintext>",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_tangle_is_clean_and_a_fixpoint(html: str) -> None:
    assert_clean(html)


@given(st.text(max_size=300))
def test_any_style_is_a_fixpoint(style: str) -> None:
    once = clean_style(style)
    assert clean_style(once) == once
    assert not any(word in once.lower() for word in ("url(", "\\", "@", "<"))


@pytest.mark.corpora
def test_public_payloads(capsys: pytest.CaptureFixture[str]) -> None:
    payloads = [item["payload"] for item in json.loads((CORPORA / "html" / "dompurify-expect.json").read_text())]
    payloads += [path.read_text().partition("--")[0] for path in sorted((CORPORA / "html" / "bleach").glob("*.test"))]
    payloads += json.loads((CORPORA / "text" / "blns.json").read_text())
    control = fixpoint = 0
    for payload in payloads:
        control += is_dangerous(payload)
        once = sanitize(payload)
        assert Danger(once.html).found == [], payload
        fixpoint += sanitize(once.html).html == once.html
    with capsys.disabled():
        print(f"\nHTML payloads: {len(payloads)}; dangerous as they are: {control}, cleaned: 0; fixpoint: {fixpoint}")
    assert fixpoint == len(payloads)
    assert control > 200


def test_document_is_whole_and_escapes_its_title() -> None:
    page = document(sanitize("<p>x</p>"), title="</title><script>", language='"><x')
    assert page.startswith("<!doctype html>")
    assert "<body><p>x</p></body>" in page
    assert "<script>" not in page
    assert "color-scheme:dark" in document("x", dark=True)
