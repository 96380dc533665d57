"""The database's own clock in a statement: processes whose clocks differ agree on it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from undercroft.core.types import BigInt, UtcDateTime


class server_now(sa.ColumnElement[Any]):  # noqa: N801 - reads as the SQL function that it stands for
    """The moment the statement began, some seconds later where a parameter of that name, or a column, is given.

    Exact to 1 ms.
    """

    inherit_cache = True
    type = UtcDateTime()
    _traverse_internals = [("seconds", InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - SQLAlchemy reads it off the class

    def __init__(self, seconds: str | sa.ColumnElement[Any] | None = None) -> None:
        if isinstance(seconds, str):
            seconds = sa.bindparam(seconds, type_=sa.Float())
        self.seconds: sa.ColumnElement[Any] = sa.literal_column("0") if seconds is None else seconds


@compiles(server_now, "postgresql")
def _timestamptz(element: server_now, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.seconds, **kw)}))"


@compiles(server_now, "sqlite")
def _microseconds(element: server_now, compiler: SQLCompiler, **kw: Any) -> str:
    # Not unixepoch('subsec'), which is younger than the oldest SQLite that we run on.
    now = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000"
    return f"({now} + CAST({compiler.process(element.seconds, **kw)} * 1000000 AS INTEGER))"


class server_millis(sa.ColumnElement[int]):  # noqa: N801
    """The moment the statement began, in whole milliseconds since 1970: what counters reckon with."""

    inherit_cache = True
    type = BigInt()
    _traverse_internals = []  # noqa: RUF012 - SQLAlchemy reads it off the class


class month_millis(sa.ColumnElement[int]):  # noqa: N801
    """The beginning, in UTC, of the month in which the statement began, or so many months later, in milliseconds."""

    inherit_cache = True
    type = BigInt()
    _traverse_internals = [("later", InternalTraversal.dp_plain_obj)]  # noqa: RUF012 - SQLAlchemy reads it off the class

    def __init__(self, later: int = 0) -> None:
        self.later = later


@compiles(server_millis, "postgresql")
def _millis_of_epoch(*_: Any, **__: Any) -> str:
    return "CAST(floor(extract(epoch FROM statement_timestamp()) * 1000) AS bigint)"


@compiles(server_millis, "sqlite")
def _millis_of_strftime(*_: Any, **__: Any) -> str:
    return "(CAST(strftime('%s', 'now') AS INTEGER) * 1000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER))"


@compiles(month_millis, "postgresql")
def _truncated(element: month_millis, *_: Any, **__: Any) -> str:
    month = f"date_trunc('month', statement_timestamp() AT TIME ZONE 'UTC') + make_interval(months => {element.later})"
    return f"CAST(extract(epoch FROM {month}) * 1000 AS bigint)"


@compiles(month_millis, "sqlite")
def _start_of_month(element: month_millis, *_: Any, **__: Any) -> str:
    return f"(CAST(strftime('%s', 'now', 'start of month', '+{element.later} months') AS INTEGER) * 1000)"
