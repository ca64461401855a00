"""Plain text as markup: escaped once, links, folded quotes (C19, C35)."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.mime.plain import MAX_SHOWN, to_html

pytestmark = pytest.mark.pure


def inner(text: str) -> str:
    return to_html(text).removeprefix('<div class="plain">').removesuffix("\n</div>")


def link(href: str, text: str | None = None) -> str:
    return f'<a href="{href}" target="_blank" rel="noopener noreferrer nofollow">{text or href}</a>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;"),
        ("see https://x.test/a?b=1&c=2.", f"see {link('https://x.test/a?b=1&amp;c=2')}."),
        ("(https://x.test/a)", f"({link('https://x.test/a')})"),
        ("https://x.test/a_(b)", link("https://x.test/a_(b)")),
        ("<https://x.test>", f"&lt;{link('https://x.test')}&gt;"),
        ('https://x.test/"onclick=', f"{link('https://x.test/')}&quot;onclick="),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("http://", "http://"),
        ("Ann <ann@x.test>,", f"Ann &lt;{link('mailto:ann@x.test', 'ann@x.test')}&gt;,"),
        ("a@b", "a@b"),
        ("x" * 3_000 + "https://x.test", "x" * 3_000 + "https://x.test"),
    ],
)
def test_links_and_escapes(text: str, html: str) -> None:
    assert inner(text) == html


def test_quotes_are_folded_by_level() -> None:
    assert to_html("a\n> b\n>> c\nd", quote_label="Q<") == (
        '<div class="plain">a\n<details class="quote"><summary>Q&lt;</summary><blockquote>b\n<blockquote>c\n'
        "</blockquote></blockquote></details>d\n</div>"
    )


def test_long_text_is_cut() -> None:
    assert len(to_html("x" * (MAX_SHOWN * 2))) < MAX_SHOWN + 100


class Reader(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert name in {"href", "target", "rel", "class"}
            if name == "href":
                assert (value or "").lower().startswith(("http://", "https://", "mailto:"))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def unquoted(text: str) -> str:
    return "".join("".join(re.sub(r"^(?:> ?){1,100}", "", line).split()) for line in text.split("\n"))


@given(st.text(alphabet=st.sampled_from("<>&\"'ahtp:/.@> \n()s-"), max_size=300))
def test_nothing_but_our_own_tags_and_no_character_lost(text: str) -> None:
    found = Reader(to_html(text, quote_label=""))
    assert found.tags <= {"div", "a", "details", "summary", "blockquote"}
    assert "".join("".join(found.text).split()) == unquoted(text)
