"""The database's own clock in a statement: processes whose clocks differ agree on it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from undercroft.core.types import UtcDateTime


class server_now(sa.ColumnElement[Any]):  # noqa: N801 - reads as the SQL function that it stands for
    """The moment the statement began, some seconds later where a parameter of that name is given; exact to 1 ms."""

    inherit_cache = True
    type = UtcDateTime()
    _traverse_internals = [("seconds", InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - SQLAlchemy reads it off the class

    def __init__(self, seconds: str | None = None) -> None:
        self.seconds: sa.ColumnElement[Any] = (
            sa.literal_column("0") if seconds is None else sa.bindparam(seconds, type_=sa.Float())
        )


@compiles(server_now, "postgresql")
def _timestamptz(element: server_now, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.seconds, **kw)}))"


@compiles(server_now, "sqlite")
def _microseconds(element: server_now, compiler: SQLCompiler, **kw: Any) -> str:
    # Not unixepoch('subsec'), which is younger than the oldest SQLite that we run on.
    now = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000"
    return f"({now} + CAST({compiler.process(element.seconds, **kw)} * 1000000 AS INTEGER))"
