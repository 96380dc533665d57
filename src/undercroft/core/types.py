"""Column types that mean the same on every engine, for the ORM and for statements run on a driver's own connection.

Each gives the processors themselves instead of `process_bind_param`: where a driver already speaks the type, no Python
function runs for a value at all. Which they are is decided by the storage that the engine gave the type, never by the
engine's name. The renderings of SQLite are those that a STRICT table knows.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.type_api import TypeEngine
from sqlalchemy.types import TypeDecorator

from undercroft.core.clock import EPOCH, micros
from undercroft.core.ids import of_int
from undercroft.errors import InvalidInput

_Processor = Callable[[Any], Any]

_JSON_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_JSON_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Uuid(TypeDecorator[UUID]):
    """A UUID: native on PostgreSQL, BLOB of 16 bytes on SQLite."""

    impl = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> _Processor | None:
        """Both PostgreSQL drivers take a UUID as it is."""
        del dialect
        return _bytes_of if self._as_bytes else None

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> _Processor | None:
        """Both PostgreSQL drivers give a UUID."""
        del dialect, coltype
        return _uuid_of if self._as_bytes else None

    @property
    def _as_bytes(self) -> bool:
        return isinstance(self.impl_instance, sa.LargeBinary)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment in UTC: timestamptz on PostgreSQL, INTEGER microseconds since 1970 on SQLite.

    Raises:
        InvalidInput: the moment is naive.
    """

    impl = sa.DateTime(timezone=True).with_variant(sa.INTEGER(), "sqlite")
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> _Processor | None:
        """Refuse the naive here: PostgreSQL would read it in the session's time zone."""
        del dialect
        return _unless_none(micros) if self._as_integer else _aware

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> _Processor | None:
        """Turn into UTC what is not: psycopg answers in the session's time zone, asyncpg in UTC."""
        del coltype
        if self._as_integer:
            return _moment_of
        return None if dialect.driver == "asyncpg" else _in_utc

    @property
    def _as_integer(self) -> bool:
        return isinstance(self.impl_instance, sa.Integer)


class Text(TypeDecorator[str]):
    """Text, stored verbatim.

    Raises:
        InvalidInput: NUL, which PostgreSQL cannot store, or a lone surrogate, which no UTF-8 holds.
    """

    impl = sa.Text
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> _Processor | None:
        """Refuse on every engine what one of them refuses."""
        del dialect
        return _storable

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """Every driver gives a str."""
        del dialect, coltype


class Json(TypeDecorator[Any]):
    """A JSON value: JSONB on PostgreSQL, TEXT on SQLite; None is SQL's NULL.

    Raises:
        InvalidInput: JSON has no such value (NaN, a set, a datetime, a key that is no text), or it holds NUL, a lone
            surrogate or an integer beyond 64 bits.
    """

    impl = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Let `column["key"]` and the like work as on plain JSON."""
        return self.impl_instance.coerce_compared_value(op, value)

    def bind_processor(self, dialect: sa.Dialect) -> _Processor | None:
        """Text for every driver: SQLAlchemy's codec on asyncpg takes it, psycopg's statement casts it."""
        del dialect
        return _unless_none(to_json)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> _Processor | None:
        """The PostgreSQL drivers decode by themselves, as SQLAlchemy's engine set them up."""
        del dialect, coltype
        return None if isinstance(self.impl_instance, postgresql.JSONB) else _unless_none(orjson.loads)


class _CastVector(postgresql.TSVECTOR):
    render_bind_cast = True


class TsVector(TypeDecorator[str]):
    """A search vector in PostgreSQL's literal form, `'word':1 'next':2`; PostgreSQL only."""

    impl = sa.Text().with_variant(_CastVector(), "postgresql")
    cache_ok = True


class Bool(sa.Boolean):
    """A truth value; INTEGER on SQLite, whose STRICT tables know no BOOLEAN."""


class BigInt(sa.BigInteger):
    """A 64-bit integer; INTEGER on SQLite, where every integer has 64 bits."""


class Real(TypeDecorator[float]):
    """A floating-point number of 64 bits: DOUBLE PRECISION on PostgreSQL, where REAL has 32, REAL on SQLite."""

    impl: TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> None:
        """Every driver takes a float."""
        del dialect

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """Every driver gives a float."""
        del dialect, coltype


Binary = sa.LargeBinary
"""Bytes: BYTEA on PostgreSQL, BLOB on SQLite."""


class Array(TypeDecorator[list[Any]]):
    """A list of values as one parameter: an array on PostgreSQL, a JSON text on SQLite (see `any_of`)."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        """Return the engine's own type."""
        del dialect
        return sa.Text().with_variant(postgresql.ARRAY(self.item), "postgresql")

    def bind_processor(self, dialect: sa.Dialect) -> _Processor | None:
        """JSON has no bytes: a UUID travels to SQLite as 32 hexadecimal digits, which `undercroft_uuid` reads back."""
        process = self.item.dialect_impl(dialect).bind_processor(dialect)
        if isinstance(self.impl_instance, postgresql.ARRAY):
            return list if process is None else lambda values: list(map(process, values))
        if isinstance(self.item, Uuid):
            return lambda values: to_json([value.hex for value in values])
        return lambda values: to_json(list(values if process is None else map(process, values)))

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """Lists travel to the database only."""
        del dialect, coltype


def to_json(value: Any) -> str:
    """Return the compact JSON text of a value, refusing what would not come back as it went in.

    Raises:
        InvalidInput: see `Json`.
    """
    try:
        text = orjson.dumps(value, option=_JSON_OPTIONS)
        if b"null" in text:
            json.dumps(value, allow_nan=False)  # orjson writes null for NaN and for infinities
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput("A value is no JSON", hint="use only null, true, numbers, text, lists, text keys") from error
    if b"\\u0000" in text and _JSON_NUL.search(text):
        raise _no_nul()
    return text.decode()


def _storable(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        if "\0" in value:
            raise _no_nul()
        if not value.isascii():
            value.encode()
    except (TypeError, AttributeError, UnicodeEncodeError) as error:
        raise InvalidInput("Text is a str without lone surrogates", hint="decode or replace it first") from error
    return value


def _no_nul() -> InvalidInput:
    return InvalidInput("Text with a NUL character cannot be stored", hint="remove or replace it first")


def _aware(value: datetime | None) -> datetime | None:
    if value is not None and getattr(value, "tzinfo", None) is None:
        micros(value)  # raises, saying why
    return value


def _moment_of(value: int | None) -> datetime | None:
    return None if value is None else EPOCH + timedelta(microseconds=value)  # which `micros` has made


def _bytes_of(value: UUID | None) -> bytes | None:
    return None if value is None else value.bytes


def _uuid_of(value: bytes | None) -> UUID | None:
    return None if value is None else of_int(int.from_bytes(value))


def _in_utc(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is UTC else value.astimezone(UTC)


def _unless_none(process: _Processor) -> _Processor:
    return lambda value: None if value is None else process(value)


@compiles(Json, "sqlite")
def _text(*_: Any, **__: Any) -> str:
    return "TEXT"


@compiles(Bool, "sqlite")
@compiles(BigInt, "sqlite")
def _integer(*_: Any, **__: Any) -> str:
    return "INTEGER"
