"""Direct inserts on the driver, under Django's tables and the caller's transaction; the accept path's own way.

Buys the cost of model instances, of the ORM's insert compiler and of Django's cursor: see
docs/adr/0011-the-accept-path-inserts-on-the-driver.md. Columns, types and defaults come from the models, so a new
column needs nothing here. Sends no signals, decides nothing, begins and ends no transaction.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache, partial
from itertools import chain, repeat
from typing import Any

from django.db import connection
from django.db.models import Field, Model

Value = Any
Row = tuple[Value, ...]

# Rows of one statement on SQLite: of few sizes, so that the driver keeps each statement prepared.
SIZES = (64, 16, 4, 1)
# Values of these fields go to both drivers as they are (tests/spool/queue/test_rows.py reads every one back).
PLAIN = frozenset(
    {
        "AutoField",
        "BigAutoField",
        "BigIntegerField",
        "BinaryField",
        "BooleanField",
        "CharField",
        "IntegerField",
        "PositiveBigIntegerField",
        "PositiveIntegerField",
        "PositiveSmallIntegerField",
        "SmallIntegerField",
        "TextField",
    }
)
REPEATING = frozenset({"DateTimeField", "GenericIPAddressField"})


class Table:
    """One model's table; rows hold the values of the columns `given`, in this order, all others their default.

    Raises ValueError for a name that the model does not have.
    """

    def __init__(self, model: type[Model], *given: str) -> None:
        self.model = model
        options = model._meta  # noqa: SLF001 - Django's documented model API
        fields = {field.attname: field for field in options.concrete_fields}
        if unknown := [name for name in given if name not in fields]:
            raise ValueError(f"{model.__name__} has no column {', '.join(unknown)}")
        self.name = options.db_table
        self.given = [fields.pop(name) for name in given]
        self.rest = [field for field in fields.values() if not _made_by_database(field)]
        # A default that is called may differ from row to row; the others are the same for ever.
        self._called = [field for field in self.rest if field.has_default() and callable(field.default)]
        self._constant = [field for field in self.rest if field not in self._called]

    @property
    def fields(self) -> list["Field[Any, Any]"]:
        """Every field that is inserted, in the order of the columns."""
        return self._constant + self.given + self._called

    def insert(self, rows: Sequence[Row]) -> None:
        """Write `rows` inside the caller's transaction, which an error must end. Raises what Django's database does."""
        if not rows:
            return
        columns: list[Sequence[Value]] = list(zip(*rows, strict=True))
        columns += [[field.get_default() for _ in rows] for field in self._called]
        for position, field in self._odd:
            columns[position] = _converted(field, columns[position])
        if connection.vendor == "postgresql":
            self._copy(zip(*map(repeat, self._defaults), *columns, strict=False))
        else:
            self._insert(list(zip(*columns, strict=True)))

    @cached_property
    def _odd(self) -> list[tuple[int, "Field[Any, Any]"]]:
        """Fields whose values need a conversion, with their places among those that differ from row to row."""
        own = self.given + self._called
        return [(position, field) for position, field in enumerate(own) if not _plain(field)]

    @cached_property
    def _defaults(self) -> Row:
        return tuple(field.get_db_prep_save(field.get_default(), connection) for field in self._constant)

    @cached_property
    def _types(self) -> list[str]:
        """On PostgreSQL, without lengths: binary COPY converts nothing, so the driver must know each column's type."""
        return [str(field.db_type(connection)).partition("(")[0] for field in self.fields]

    @cached_property
    def _columns(self) -> str:
        return ", ".join(connection.ops.quote_name(str(field.column)) for field in self.fields)

    def _insert(self, rows: list[Row]) -> None:
        """SQLite: on the driver's own connection, which Django's transaction is on."""
        connection.ensure_connection()
        connection.validate_no_broken_transaction()
        with connection.wrap_database_errors:
            driver: sqlite3.Connection = connection.connection
            room = driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - len(self._defaults)
            sizes = [size for size in SIZES if size * len(rows[0]) <= room]
            begin = 0
            while begin < len(rows):
                size = next((size for size in sizes if size <= len(rows) - begin), 1)
                values = chain(self._defaults, *rows[begin : begin + size])
                driver.execute(self._statement(size), tuple(values))
                begin += size

    @lru_cache  # noqa: B019 - tables live as long as the process
    def _statement(self, size: int) -> str:
        """For `size` rows; the first parameters are the defaults, which all rows share.

        FAIL: a row that breaks a constraint leaves those before it to the rollback of the caller's transaction. By
        itself SQLite would undo them alone, and for that copies each page that a statement touches, to disk soon.
        """
        shared, own = len(self._defaults), len(self.given) + len(self._called)
        same = [f"?{number}" for number in range(1, shared + 1)]
        marks = (
            [*same, *(f"?{number}" for number in range(first, first + own))]
            for first in range(shared + 1, shared + 1 + size * own, own)
        )
        rows = ", ".join(f"({', '.join(row)})" for row in marks)
        return f"INSERT OR FAIL INTO {connection.ops.quote_name(self.name)} ({self._columns}) VALUES {rows}"  # noqa: S608

    def _copy(self, rows: Iterable[Row]) -> None:
        statement = f"COPY {connection.ops.quote_name(self.name)} ({self._columns}) FROM STDIN (FORMAT BINARY)"
        with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(self._types)
            for row in rows:
                copy.write_row(row)


def _made_by_database(field: "Field[Any, Any]") -> bool:
    automatic = field.get_internal_type() in ("AutoField", "BigAutoField", "SmallAutoField")
    return automatic or bool(getattr(field, "generated", False)) or field.has_db_default()


def _plain(field: "Field[Any, Any]") -> bool:
    target = field.target_field if field.is_relation else field  # type: ignore[attr-defined]
    return target.get_internal_type() in PLAIN


def _converted(field: "Field[Any, Any]", values: Sequence[Value]) -> Sequence[Value]:
    """One column in the driver's terms; of times and addresses, which repeat, each distinct value once."""
    convert: Callable[[Value], Value] = partial(field.get_db_prep_save, connection=connection)
    if field.get_internal_type() not in REPEATING:
        return [convert(value) for value in values]
    known = {value: convert(value) for value in set(values)}
    return [known[value] for value in values]
