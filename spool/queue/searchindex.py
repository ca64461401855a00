"""The full-text index: keyed hashes of terms, never the terms (docs/adr/0013).

One row a message: an FTS5 table on SQLite, a tsvector on PostgreSQL, both made by a migration. Rows are written in
the transaction of the parse result and go with the content. Knows no mailbox: who may see is the caller's business.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

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
_MERGE_PAGES = 200

Row = tuple[int | str, ...]


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
    found = (f"{name}:{prefix}" for name in BEGINNINGS for prefix in prefixes(fields.get(name, "").split()))
    return sorted(_PREFIXES[one] for one in found)


def _open_ends(phrase: Phrase) -> list[str]:
    """Hashes of what the unfinished word may begin, one for each field it may stand in."""
    fields = [phrase.field] if phrase.field else BEGINNINGS
    return [_PREFIXES[f"{name}:{phrase.words[0]}"] for name in fields] if phrase.open_end else []


def row(message_id: int, fields: Mapping[str, str]) -> Row:
    """The index row for the terms of a message (spool.mime.terms.of_message), ready for `write`."""
    hashed = {name: [_TERMS[word] for word in fields.get(name, "").split()] for name in FIELDS}
    if connection.vendor == "sqlite":
        return message_id, *(" ".join(hashed[name]) for name in FIELDS), " ".join(_beginnings(fields))
    return message_id, _vector(hashed, _beginnings(fields))


def _vector(hashed: Mapping[str, Sequence[str]], beginnings: Iterable[str]) -> str:
    """The text form of a tsvector."""
    places: dict[str, list[str]] = {}
    position = 1
    for name in FIELDS:
        weight = WEIGHTS[name]
        for word in hashed[name]:
            places.setdefault(word, []).append(f"{position}{weight}")
            if name == "files":
                places.setdefault(FILE + word, []).append(str(position))
            position += 1
        position += GAP
    parts = [f"{word}:{','.join(at[:255])}" for word, at in places.items()]  # PostgreSQL keeps 255 of a lexeme
    return " ".join([*parts, *(f"p{beginning}" for beginning in beginnings)])


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
    if connection.vendor == "sqlite":
        columns = ", ".join(("rowid", *FIELDS, "beginnings"))
        marks = ", ".join(["%s"] * len(rows[0]))
        sql = f"INSERT OR REPLACE INTO {TABLE} ({columns}) VALUES ({marks})"  # noqa: S608 - names of our own
    else:
        sql = (
            f"INSERT INTO {TABLE} (message_id, terms) VALUES (%s, %s::tsvector) "  # noqa: S608
            "ON CONFLICT (message_id) DO UPDATE SET terms = excluded.terms"
        )
    with connection.cursor() as cursor:
        cursor.executemany(sql, rows)


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
    return "(" + " | ".join([said, *(f"p{one}" for one in _open_ends(phrase))]) + ")"
