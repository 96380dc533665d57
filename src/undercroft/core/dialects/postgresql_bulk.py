"""Many rows in one statement on PostgreSQL, which refuses COPY on tables under row-level security."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import is_
from typing import Any

from sqlalchemy import Dialect as SADialect, Table
from sqlalchemy.types import TypeEngine
from typing_extensions import override

from undercroft.core.dialects.base import BulkInsert
from undercroft.core.tx import Port
from undercroft.core.types import Json, to_json

MANY = 100
"""Rows from which it is worth a statement of its own that some columns are alike in all of them."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the target: what makes a value ready, as what type it travels, and the cast that it then needs."""

    name: str
    quoted: str
    process: Callable[[Any], Any] | None
    through: str
    cast: str


class Unnest(BulkInsert):
    """``INSERT … SELECT … FROM unnest(…)``: an array a column, and once what all rows have alike, as chats do.

    An anti-join before ON CONFLICT would save nothing, since no column is computed by the server, and its plan may read
    all of a tenant's rows.
    """

    def __init__(self, sa: SADialect, table: Table, columns: tuple[str, ...], *, ignore: bool) -> None:
        quote = sa.identifier_preparer.quote
        self._columns = [
            _Column(name, quote(name), outgoing(type_, sa), *carried(type_, sa))
            for name, type_ in ((name, table.c[name].type) for name in columns)
        ]
        self._numbered = sa.paramstyle == "numeric_dollar"
        self._target = sa.identifier_preparer.format_table(table)
        self._end = " ON CONFLICT DO NOTHING" if ignore else ""
        self._statements: dict[tuple[bool, ...], str] = {}

    @override
    def run(self, port: Port, rows: Sequence[Mapping[str, Any]]) -> int:
        arrays = [
            [row[column.name] if column.process is None else column.process(row[column.name]) for row in rows]
            for column in self._columns
        ]
        alike = tuple(len(rows) >= MANY and _are_alike(values) for values in arrays)
        if all(alike):
            alike = (False, *alike[1:])  # something has to say how many rows there are
        statement = self._statements.get(alike)
        if statement is None:
            statement = self._statements[alike] = self._statement(alike)
        once = [values[0] for values, same in zip(arrays, alike, strict=True) if same]
        return port.execute(statement, once + [values for values, same in zip(arrays, alike, strict=True) if not same])

    def _statement(self, alike: tuple[bool, ...]) -> str:
        """Write the statement: the values that travel once come first among its parameters."""
        marks = iter([f"${number}" if self._numbered else "%s" for number in range(1, len(alike) + 1)])
        selected = [
            f"{next(marks)}::{column.through}{column.cast}" if same else f"u.{column.quoted}{column.cast}"
            for column, same in zip(self._columns, alike, strict=True)
        ]
        varying = [column for column, same in zip(self._columns, alike, strict=True) if not same]
        arrays = ", ".join(f"{next(marks)}::{column.through}[]" for column in varying)
        names = ", ".join(column.quoted for column in self._columns)
        return (
            f"INSERT INTO {self._target} ({names}) SELECT {', '.join(selected)}"
            f" FROM unnest({arrays}) AS u({', '.join(column.quoted for column in varying)}){self._end}"
        )


def _are_alike(values: list[Any]) -> bool:
    """Tell whether all values are one; equal would not do for numbers, of which 0.0 equals -0.0, 1.0 equals 1.00."""
    first = values[0]
    return values.count(first) == len(values) if type(first) is str else all(map(is_, values, repeat(first)))


def outgoing(type_: TypeEngine[Any], sa: SADialect) -> Callable[[Any], Any] | None:
    """Choose how a column's values are made ready to travel in an array: JSON as text, on both drivers."""
    return _json if isinstance(type_, Json) else type_.dialect_impl(sa).bind_processor(sa)


def carried(type_: TypeEngine[Any], sa: SADialect) -> tuple[str, str]:
    """Tell as what type a column's values travel in an array, and the cast each then needs."""
    name = type_.compile(dialect=sa)
    return ("text", f"::{name}") if name in {"JSONB", "TSVECTOR"} else (name, "")


def _json(value: Any) -> str | None:
    return None if value is None else to_json(value)
