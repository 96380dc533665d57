"""The base of every table, ours and the users' own, and what their statements are made of."""

from datetime import datetime
from importlib import import_module
from typing import Any, dataclass_transform
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, MappedAsDataclass, composite, mapped_column, relationship, synonym
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from undercroft.core.types import Array, BigInt, Binary, Bool, Json, Real, Text, TsVector, UtcDateTime, Uuid, to_json

__all__ = [
    "NAMING",
    "SCHEMA",
    "SQLITE_FUNCTIONS",
    "Array",
    "Base",
    "BigInt",
    "Binary",
    "Bool",
    "Json",
    "Real",
    "Text",
    "TsVector",
    "UtcDateTime",
    "Uuid",
    "any_of",
    "every_table",
    "to_json",
    "uuid_bytes",
]

SCHEMA = "undercroft"
"""Where our tables live on PostgreSQL; SQLite has no schemas and maps it to none."""

NAMING = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}

SQLITE_FUNCTIONS = {"undercroft_uuid": (1, bytes.fromhex)}
"""Functions that every SQLite connection of ours must define: name to (number of arguments, deterministic function)."""


@dataclass_transform(kw_only_default=True, field_specifiers=(mapped_column, relationship, composite, synonym))
class Base(AsyncAttrs, MappedAsDataclass, DeclarativeBase, kw_only=True):
    """The base of ORM models: typed dataclasses whose values mean the same on every engine."""

    metadata = sa.MetaData(schema=SCHEMA, naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it off the class
        UUID: Uuid(),
        datetime: UtcDateTime(),
        str: Text(),
        int: BigInt(),
        float: Real(),
        bool: Bool(),
        bytes: Binary(),
        dict[str, Any]: Json(),
    }


def every_table() -> sa.MetaData:
    """Return the metadata with all our tables in it, whichever slices were used so far."""
    import_module("undercroft.models")
    return Base.metadata


class any_of(sa.ColumnElement[bool]):  # noqa: N801 - reads as the SQL function that it stands for
    """True where a column has one of the values of a list that is passed as one parameter.

    It replaces `IN`, whose text SQLAlchemy would have to write anew for every length of the list.
    """

    inherit_cache = True
    type = sa.Boolean()
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy reads it off the class
        ("column", InternalTraversal.dp_clauseelement),
        ("values", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, column: sa.ColumnElement[Any] | Any, parameter: str) -> None:
        self.column = sa.sql.coercions.expect(sa.sql.roles.ExpressionElementRole, column)
        self.values = sa.bindparam(parameter, type_=Array(self.column.type))

    def self_group(self, against: Any = None) -> "any_of":
        """Stand as a condition by itself: SQLite finds no index for the `IN (...) = 1` that a boolean becomes."""
        del against
        return self


@compiles(any_of, "postgresql")
def _any(element: any_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{compiler.process(element.column, **kw)} = ANY ({compiler.process(element.values, **kw)})"


@compiles(any_of, "sqlite")
def _in_json(element: any_of, compiler: SQLCompiler, **kw: Any) -> str:
    value = "undercroft_uuid(value)" if isinstance(element.column.type, Uuid) else "value"
    listed = f"SELECT {value} FROM json_each({compiler.process(element.values, **kw)})"  # noqa: S608 - no value in it
    return f"{compiler.process(element.column, **kw)} IN ({listed})"


class uuid_bytes(sa.ColumnElement[bytes]):  # noqa: N801 - reads as a SQL function
    """The 16 bytes of a UUID, where many are hashed: a UUID object for each would cost more than the hash."""

    inherit_cache = True
    type = sa.types.NullType()  # type: ignore[assignment]  # nothing is done to what the driver gives
    _traverse_internals = [("column", InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - SQLAlchemy reads it off the class

    def __init__(self, column: sa.ColumnElement[Any] | Any) -> None:
        self.column = sa.sql.coercions.expect(sa.sql.roles.ExpressionElementRole, column)


@compiles(uuid_bytes, "postgresql")
def _sent(element: uuid_bytes, compiler: SQLCompiler, **kw: Any) -> str:
    return f"uuid_send({compiler.process(element.column, **kw)})"


@compiles(uuid_bytes, "sqlite")
def _stored(element: uuid_bytes, compiler: SQLCompiler, **kw: Any) -> str:
    return str(compiler.process(element.column, **kw))
