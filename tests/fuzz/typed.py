"""What people type: targets `search` (a question, and what reaches the index) and `compose` (addresses)."""

import re
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache

from spool.mime import addresses, terms, words
from spool.mime.compose import ComposeError, Composition, compose
from spool.mime.headers import fields
from spool.mime.parse import parse
from spool.mime.parsed import MailAddress, ParsedMessage
from spool.models import Domain, Mailbox, Route
from spool.queue import searchindex
from spool.queue.addresses import normalise, parse_address
from spool.queue.recipients import CONTROL, Planned, _Planner, split
from tests.fuzz.rig import DOMAINS, VIEW
from tests.fuzz.target import Target, check

FTS = re.compile(r'\(\{[a-z ]+\} : "[0-9a-f]{10}(?: [0-9a-f]{10})*"(?: OR \{beginnings\} : [0-9a-f]{10})*\)')
TSQUERY = re.compile(r"\(\(f?[0-9a-f]{10}(?::[ABC])?(?: <-> f?[0-9a-f]{10}(?::[ABC])?)*\)(?: \| p[0-9a-f]{10})*\)")
SEARCH_TOKENS = (
    b"from:", b"to:", b"subject:", b"file:", b'"', b" ", b"OR", b"NOT", b"*", b"-", b"(", b")", b":", b"{", b"}",
    b"'", b"\\", b"&", b"|", b"<->", b"\0", "ß".encode(), "İ".encode(), "ﬁ".encode(), "\ufdfa".encode(),
    "日本".encode(), "é".encode(), "e\u0301".encode(), "\u0345".encode(), "ǅ".encode(), b"invoice", b"a" * 70,
    b"\xed\xa0\x80", "\u200d".encode(), "²".encode(),
)  # fmt: skip
COMPOSE_TOKENS = (
    b"anna@example.test", b"a@outside.test", b"x@open.test", b"<", b">", b'"', b",", b";", b"\r\n", b"\n", b" ",
    b"\\", b"@", b"(", b")", b"Ann <", b'"Ice, Al" <', b"%", b"!", b"\0", b"\x85", "\u2028".encode(),
    "\u202e".encode(), "ü".encode(), "＠".encode(), b"[1.2.3.4]", b"=?utf-8?q?a?=", b"\xed\xa0\x80", b"a" * 70, b":",
    b"bcc:", b"xn--a.test", "bücher.test".encode(),
)  # fmt: skip


@lru_cache(maxsize=1)
def _index() -> sqlite3.Connection:
    """A full-text table of the same columns as the product's (spool/migrations/0003_search.py)."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute(f"CREATE VIRTUAL TABLE t USING fts5({', '.join(terms.FIELDS)}, beginnings)")
    return database


def _found(fields_of: dict[str, str], query: str) -> bool:
    """Whether a message with these terms is found by this query."""
    hashed = [" ".join(searchindex._TERMS[word] for word in fields_of.get(name, "").split()) for name in terms.FIELDS]
    row = [*hashed, " ".join(searchindex._beginnings(fields_of))]
    database = _index()
    database.execute("DELETE FROM t")
    database.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", row)
    return bool(database.execute("SELECT 1 FROM t WHERE t MATCH ?", [query]).fetchall())


def run_search(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        phrases = terms.question(text)
    except terms.TooLongError:
        return
    check(len(phrases) <= terms.MAX_PHRASES, "more phrases than are looked for")
    for phrase in phrases:
        check(all(0 < len(word) <= terms.MAX_TERM for word in phrase.words), "a word of a wrong length", phrase)
        check(
            FTS.fullmatch(searchindex._fts5(phrase)) is not None,
            "what was typed is in the query",
            searchindex._fts5(phrase),
        )
        check(TSQUERY.fullmatch(searchindex._tsquery(phrase)) is not None, "what was typed is in the query", phrase)
    if not phrases:
        return
    found = _found(terms.of_message(ParsedMessage(subject=text)), " AND ".join(map(searchindex._fts5, phrases)))
    plain = not any(phrase.field for phrase in phrases) and len(text) <= terms.MAX_RUN and ":" not in text
    check(found or not plain, "a mail that says just this is not found", text, phrases)


def _planner() -> _Planner:
    route = Route(pk=1, name="example.test", state="down")
    mailbox = Mailbox(pk=1, address="anna@example.test", domain=Domain(pk=1, name="example.test", route=route))
    planner = _Planner(mailbox, VIEW.directory)
    planner._open = {1: True, 2: False, 3: False}
    return planner


def check_planned(one: Planned) -> None:
    path = one.recipient.forward_path
    check(str(parse_address(path)) == path, "an address that is not read again", path)
    check(one.outside == (path.rpartition("@")[2] not in DOMAINS), "a foreign address is ours, or the other way", one)
    check(not CONTROL.search(one.name + path), "a control character in a recipient", one)
    check(path.rpartition("@")[0].isascii() and bool(normalise(path)), "an address that cannot be sent", path)


def run_compose(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    items = list(split(text))
    check(len(items) <= len(text) + 1, "more items than characters")
    planner = _planner()
    planned = planner.group("to", text)
    check(len(planned) + len(planner.problems) <= len(items) + 1, "more recipients than items")
    for problem in planner.problems:
        check(not CONTROL.search(problem.sentence), "a control character in a sentence", problem)
    for one in planned:
        check_planned(one)
    check_written(tuple(one.mail_address for one in planned)[:20])


def check_written(to: tuple[MailAddress, ...]) -> None:
    """What is written into the header is read from it again, and adds no field (C9)."""
    with suppress(ComposeError):
        raw = compose(
            Composition("1@x.test", datetime(2026, 1, 1, tzinfo=UTC), MailAddress("", "anna@example.test"), to)
        )
        block = raw[: raw.index(b"\r\n\r\n") + 2]
        check(sum(name == "to" for name, _ in fields(block)) == bool(to), "not one field of recipients", block)
        read = parse(raw).to
        check([one.address for one in read] == [one.address for one in to], "other recipients in the header", read, to)
        for one, other in zip(read, to, strict=True):
            wanted = words.clean(other.name)[: addresses.MAX_NAME].strip()
            check(one.name == wanted, "another name in the header", one, other)


def search_seeds() -> list[bytes]:
    return [
        b"invoice",
        b'from:anna "annual report" file:pdf',
        "Straße ﬁn 日本語".encode(),
        b'to:a@x.test subject:"x',
        b"re: hello",
    ]


def compose_seeds() -> list[bytes]:
    return [
        b"anna@example.test", b'"Ice, Al" <a@outside.test>; b@outside.test\r\nc@open.test', b"a%b@example.test, <x",
        b"Ann <a@b.test> x", "Jörg <j@bücher.test>".encode(), b'"a\\"b"@outside.test',
    ]  # fmt: skip


TARGETS = (
    Target("search", run_search, search_seeds, SEARCH_TOKENS, longest=500),
    Target("compose", run_compose, compose_seeds, COMPOSE_TOKENS, longest=1_000),
)
