"""Moments counted by periods of a fixed length, in UTC."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from undercroft.core.clock import from_micros
from undercroft.core.types import BigInt

HOUR = 3600
DAY = 86_400


class bucket(sa.ColumnElement[int]):  # noqa: N801 - reads as the SQL function that it stands for
    """How many whole periods of ``seconds`` lie between 1970 and a moment, for GROUP BY; see `bucket_start`."""

    inherit_cache = True
    type = BigInt()
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy reads it off the class
        ("column", InternalTraversal.dp_clauseelement),
        ("seconds", InternalTraversal.dp_plain_obj),
    ]

    def __init__(self, column: sa.ColumnElement[Any] | Any, seconds: int) -> None:
        self.column = sa.sql.coercions.expect(sa.sql.roles.ExpressionElementRole, column)
        self.seconds = seconds


def bucket_start(number: int, seconds: int) -> datetime:
    """Return the moment at which a bucket begins."""
    return from_micros(number * seconds * 1_000_000)


@compiles(bucket, "postgresql")
def _of_timestamptz(element: bucket, compiler: SQLCompiler, **kw: Any) -> str:
    column = compiler.process(element.column, **kw)
    return f"CAST(floor(extract(epoch FROM {column}) / {element.seconds}) AS bigint)"


@compiles(bucket, "sqlite")
def _of_microseconds(element: bucket, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({compiler.process(element.column, **kw)} / {element.seconds * 1_000_000})"
