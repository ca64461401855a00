"""Plain text as HTML: escaped, links made clickable, quotes folded. Pure and linear in the text.

Every octet of the input passes through html.escape exactly once; words are looked at one by one, so that no
expression can be made slow by a long line.
"""

import re
from html import escape

MAX_SHOWN = 200 * 1024  # characters
MAX_QUOTE = 10  # levels
MAX_LINK = 2_000

_WORD = re.compile(r"\S+")
_URL_START = re.compile(r"https?://", re.I)
_URL_END = re.compile(r"[<>\"\u200b\u2028\u2029`{}|\\^]")
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_QUOTE = re.compile(r"(?:> ?){1,100}")
_TRAILING = ".,;:!?'*_"
_PAIRS = {")": "(", "]": "["}


def _trim(url: str) -> str:
    """Without punctuation that belongs to the sentence around the link."""
    end = len(url)
    while end:
        last = url[end - 1]
        if last in _TRAILING or (last in _PAIRS and _PAIRS[last] not in url):
            end -= 1
        else:
            break
    return url[:end]


def _anchor(href: str, text: str) -> str:
    return f'<a href="{escape(href)}" target="_blank" rel="noopener noreferrer nofollow">{escape(text)}</a>'


def _word(word: str) -> str:
    if len(word) <= MAX_LINK and (start := _URL_START.search(word)):
        rest = word[start.start() :]
        stop = _URL_END.search(rest)
        url = _trim(rest[: stop.start()] if stop else rest)
        if len(url) > len(start[0]):
            tail = rest[len(url) :]
            return escape(word[: start.start()]) + _anchor(url, url) + escape(tail)
    elif "@" in word and len(word) <= 400:
        core = word.strip("<>()[]{},;:\"'.!?")
        if _MAIL.fullmatch(core):
            before, _, after = word.partition(core)
            return escape(before) + _anchor(f"mailto:{core}", core) + escape(after)
    return escape(word)


def _line(line: str) -> str:
    out, position = [], 0
    for match in _WORD.finditer(line):
        out.append(escape(line[position : match.start()]))
        out.append(_word(match[0]))
        position = match.end()
    out.append(escape(line[position:]))
    return "".join(out)


def _quote_level(line: str) -> tuple[int, str]:
    match = _QUOTE.match(line) if line.startswith(">") else None
    if match is None:
        return 0, line
    return min(match[0].count(">"), MAX_QUOTE), line[match.end() :]


def _reopen(out: list[str], level: int, wanted: int, label: str) -> None:
    while level < wanted:
        fold = f'<details class="quote"><summary>{escape(label)}</summary>' if level == 0 else ""
        out.append(f"{fold}<blockquote>")
        level += 1
    while level > wanted:
        level -= 1
        out.append("</blockquote>" + ("</details>" if level == 0 else ""))


def to_html(text: str, *, quote_label: str = "Quoted text") -> str:
    """Markup for `text` (its first MAX_SHOWN characters); quoted lines lie in nested, folded block quotes."""
    out = ['<div class="plain">']
    level = 0
    for line in text[:MAX_SHOWN].split("\n"):
        wanted, rest = _quote_level(line)
        _reopen(out, level, wanted, quote_label)
        level = wanted
        out.append(_line(rest) + "\n")
    _reopen(out, level, 0, quote_label)
    out.append("</div>")
    return "".join(out)
