"""The full-text index: keyed hashes of terms, never the terms (docs/adr/0013).

One row a message: an FTS5 table on SQLite, a tsvector on PostgreSQL, both made by a migration. Rows are written in
the transaction of the parse result and go with the content. Knows no mailbox: who may see is the caller's business.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from struct import pack

from django.db import connection
from django.db.models.expressions import RawSQL

from accounts.crypto import derive_key
from spool.mime.terms import FIELDS, Phrase, prefixes

TABLE = "spool_searchindex"
OCTETS = 5  # of a hash, written in hex: one of a million words is taken for another in one of 10^6 questions
CACHED = 100_000  # terms whose hash is kept in memory
GAP = 1  # positions between fields, so that no phrase reaches over
BEGINNINGS = ("subject", "sender", "recipients", "files")  # fields whose words are found by their first letters
# A tsvector knows four weights; "" is D. File names share the body's, and are written once more under FILE.
WEIGHTS = {"subject": "A", "sender": "B", "recipients": "C", "files": "", "body": ""}
FILE = "f"  # begins a lexeme of PostgreSQL's that only file names have
BEGINNING = "p"  # begins one that stands for the first letters of a word
_POSITIONS = 1 << 14  # of a tsvector
_MAX_PLACES = 255  # of a lexeme that PostgreSQL keeps
_MERGE_PAGES = 200

Row = tuple[int | str | bytes, ...]


class _Hashes(dict[str, str]):
    """Term to hash, computed when first asked for and kept: a mail's words are mostly those of the mails before it."""

    def __init__(self, kind: bytes) -> None:
        super().__init__()
        self.kind = kind

    def __missing__(self, term: str) -> str:
        if len(self) >= CACHED:
            self.clear()
        state = blake2b(digest_size=OCTETS, key=derive_key("search index"), person=self.kind)
        state.update(term.encode("utf-8", "replace"))
        made = self[term] = state.hexdigest()
        return made


_TERMS, _PREFIXES = _Hashes(b"term"), _Hashes(b"prefix")


def forget() -> None:
    """Drop hashes kept in memory: the keys of the settings are others now."""
    _TERMS.clear()
    _PREFIXES.clear()


def _beginnings(fields: Mapping[str, str]) -> list[str]:
    found = [f"{name}:{prefix}" for name in BEGINNINGS if name in fields for prefix in prefixes(fields[name].split())]
    return sorted({_PREFIXES[one] for one in found})


def _open_ends(phrase: Phrase) -> list[str]:
    """Hashes of what the unfinished word may begin, one for each field it may stand in."""
    fields = [phrase.field] if phrase.field else BEGINNINGS
    return [_PREFIXES[f"{name}:{phrase.words[0]}"] for name in fields] if phrase.open_end else []


def row(message_id: int, fields: Mapping[str, str]) -> Row:
    """The index row for the terms of a message (spool.mime.terms.of_message), ready for `write`."""
    hashed = {name: list(map(_TERMS.__getitem__, fields[name].split())) for name in FIELDS if name in fields}
    if connection.vendor == "sqlite":
        return message_id, *(" ".join(hashed.get(name, ())) for name in FIELDS), " ".join(_beginnings(fields))
    return message_id, _vector(hashed, _beginnings(fields))


def _vector(hashed: Mapping[str, Sequence[str]], beginnings: Sequence[str]) -> bytes:
    """A tsvector as PostgreSQL receives it in binary: the number of lexemes, then each with a NUL and its places.

    Put together as Latin-1 text, a character an octet, for the words are text here.
    """
    places: dict[str, str] = {}
    repeated: dict[str, str] = {}
    position = 1
    for name in FIELDS:
        words = hashed.get(name, ())
        found = _places(WEIGHTS[name])[position : position + len(words)]
        _note(words, found, places, repeated)
        if name == "files":
            _note([FILE + word for word in words], found, places, repeated)
        position += len(words) + GAP
    places |= {word: _count(len(at) // 2) + at for word, at in repeated.items()}
    places |= {BEGINNING + beginning: _count(0) for beginning in beginnings}
    return pack("!i", len(places)) + "".join(chain.from_iterable(places.items())).encode("latin-1")


def _note(words: Sequence[str], found: Sequence[str], places: dict[str, str], repeated: dict[str, str]) -> None:
    """Most words stand once in a mail: the end of their lexeme is in `places` as `_places` made it."""
    for word, place in zip(words, found, strict=True):
        if word not in places:
            places[word] = place
        else:
            before = repeated.get(word) or places[word][3:]
            if len(before) < 2 * _MAX_PLACES:
                repeated[word] = before + place[3:]


def _count(number: int) -> str:
    """The end of a lexeme's word, and how many places follow."""
    return f"\0\0{chr(number)}"


@lru_cache(maxsize=4)
def _places(weight: str) -> list[str]:
    """What follows a word that stands once, for each position: the upper two bits of a place are its weight."""
    bits = "DCBA".index(weight or "D") << 14
    return [_count(1) + pack("!H", bits | position).decode("latin-1") for position in range(_POSITIONS)]


def thread(root: str) -> int | None:
    """The number under which messages of one thread meet: a keyed hash of its first Message-ID, None without one."""
    if not root:
        return None
    digest = blake2b(root.encode("utf-8", "replace"), digest_size=8, key=derive_key("search index"), person=b"thread")
    return int.from_bytes(digest.digest(), "big", signed=True)


def write(rows: Sequence[Row]) -> None:
    """Store index rows, replacing older ones; inside the caller's transaction."""
    if not rows:
        return
    if connection.vendor != "sqlite":
        _copy(rows)
        return
    columns = ", ".join(("rowid", *FIELDS, "beginnings"))
    marks = ", ".join(["%s"] * len(rows[0]))
    sql = f"INSERT OR REPLACE INTO {TABLE} ({columns}) VALUES ({marks})"  # noqa: S608 - names of our own
    with connection.cursor() as cursor:
        cursor.executemany(sql, rows)


def _copy(rows: Sequence[Row]) -> None:
    """A third of what INSERT costs the server: no statement to read, no text of a tsvector to take apart."""
    copy_in = f"COPY {TABLE} (message_id, terms) FROM STDIN (FORMAT BINARY)"
    with connection.wrap_database_errors, connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE} WHERE message_id = ANY(%s)", [[row[0] for row in rows]])  # noqa: S608
        with cursor.copy(copy_in) as copy:
            copy.set_types(["int8", "bytea"])  # octets go as they are; the column takes them for a tsvector
            for row in rows:
                copy.write_row(row)


def erase(message_ids: Iterable[int]) -> None:
    """Remove the rows of messages, inside the caller's transaction."""
    key = "rowid" if connection.vendor == "sqlite" else "message_id"
    with connection.cursor() as cursor:
        sql = f"DELETE FROM {TABLE} WHERE {key} = %s"  # noqa: S608 - names of our own
        cursor.executemany(sql, [(message_id,) for message_id in message_ids])


def tidy() -> None:
    """Rewrite a part of SQLite's index, so that what erased rows left in it goes; PostgreSQL's vacuum does it there."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {TABLE} ({TABLE}, rank) VALUES ('merge', %s)", [-_MERGE_PAGES])  # noqa: S608


def matching(phrases: Sequence[Phrase]) -> RawSQL:
    """A subquery of the ids of messages that hold all `phrases` (at least one), for `message_id__in`."""
    if connection.vendor == "sqlite":
        words = " AND ".join(_fts5(phrase) for phrase in phrases)
        return RawSQL(f"SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH %s", [words])  # noqa: S608, S611
    words = " & ".join(_tsquery(phrase) for phrase in phrases)
    return RawSQL(f"SELECT message_id FROM {TABLE} WHERE terms @@ %s::tsquery", [words])  # noqa: S608, S611


def _fts5(phrase: Phrase) -> str:
    """Only hashes reach the query language: nothing of it can be typed."""
    fields = phrase.field or " ".join(FIELDS)
    said = f'{{{fields}}} : "{" ".join(_TERMS[word] for word in phrase.words)}"'
    return "(" + " OR ".join([said, *(f"{{beginnings}} : {one}" for one in _open_ends(phrase))]) + ")"


def _tsquery(phrase: Phrase) -> str:
    mark = FILE if phrase.field == "files" else ""
    weight = f":{WEIGHTS[phrase.field]}" if phrase.field and not mark else ""
    said = "(" + " <-> ".join(f"{mark}{_TERMS[word]}{weight}" for word in phrase.words) + ")"
    return "(" + " | ".join([said, *(f"{BEGINNING}{one}" for one in _open_ends(phrase))]) + ")"
