"""Signs that a message pretends: a sender's name, letters of a look-alike domain, links that say another host. Pure.

They become notes for the reader, never a decision. Every expression is bounded, so hostile HTML cannot slow it.
"""

import re
import unicodedata
from html import unescape
from urllib.parse import urlsplit

from spool.mime.addresses import MailAddress
from spool.mime.words import clean

MAX_LINKS = 2_000

_ADDRESS = re.compile(r"[\w.+-]{1,64}+@((?:[\w-]{1,63}\.){1,8}[a-z]{2,24})", re.I)
_LINK = re.compile(
    r"<a\s[^<>]{0,200}?href\s{0,5}=\s{0,5}[\"']?(https?://[^\"'\s<>]{1,500}+)[^<>]{0,300}+>(.{1,300}?)</a\s{0,5}>",
    re.I | re.S,
)
_TAGS = re.compile(r"<[^<>]*>")
_SAID = re.compile(r"(?:https?://)?((?:[\w-]{1,63}\.){1,8}[a-z]{2,24})(?:[:/?#]\S*)?", re.I)
_NOT_HOSTS = frozenset(
    {"html", "htm", "pdf", "doc", "docx", "xls", "xlsx", "txt", "zip", "jpg", "png", "js", "md", "py"}
)


def sender_disguised(sender: MailAddress) -> bool:
    """Whether the display name shows an address of another domain than the real one."""
    said = _ADDRESS.search(sender.name[:300])
    return bool(said and sender.address) and not _related(said[1] if said else "", sender.address.rpartition("@")[2])


def mixed_alphabets(address: str) -> bool:
    """Whether the domain mixes letters of several alphabets (such as a Cyrillic a in a Latin word)."""
    labels = map(_letters, address.rpartition("@")[2].lower().split("."))
    return any(len(_alphabets(label)) > 1 for label in labels if not label.isascii())


def _letters(label: str) -> str:
    """A label as people see it: an A-label is decoded (RFC 5891)."""
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError):
        return label


def _alphabets(label: str) -> set[str]:
    names = {unicodedata.name(character, "?").partition(" ")[0] for character in label if character.isalpha()}
    return names - {"HIRAGANA", "KATAKANA", "CJK"} if "CJK" in names else names


def misleading_links(html: str) -> bool:
    """Whether a link's text is the address of another site than the one it leads to."""
    for number, match in enumerate(_LINK.finditer(html)):
        if number >= MAX_LINKS:
            break
        said = _SAID.fullmatch(clean(unescape(_TAGS.sub("", match[2]))))
        if said and said[1].rpartition(".")[2].lower() not in _NOT_HOSTS and not _related(said[1], _host(match[1])):
            return True
    return False


def _host(url: str) -> str:
    try:
        return urlsplit(unescape(url)).hostname or ""
    except ValueError:
        return ""


def _related(one: str, other: str) -> bool:
    """Whether one host name is the other or lies below it, `www.` left aside."""
    first, second = one.lower().removeprefix("www."), other.lower().removeprefix("www.")
    return first == second or first.endswith("." + second) or second.endswith("." + first)
