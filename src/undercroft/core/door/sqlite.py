"""A caller's SQL on SQLite, behind the walls of `sqlite_walls`.

Values come back as the file holds them: a UUID as 16 bytes, a moment as microseconds since 1970, a truth value as 0 or
1, JSON as text. As arguments UUID, datetime, dict and list are written so.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from typing_extensions import override

from undercroft.core.clock import micros
from undercroft.core.door import sqltext
from undercroft.core.door.base import Arguments, Door, target
from undercroft.core.door.rows import Row, row_type
from undercroft.core.types import to_json
from undercroft.errors import InvalidInput

if TYPE_CHECKING:
    from undercroft.core.dialects.sqlite import SqlitePort

T = TypeVar("T")
_LARGEST = 2**63


class SqliteDoor(Door):
    """A sqlite3 connection with the walls of one tenant, or of nobody, around every statement."""

    sqlite = True
    copies_into_walls = True

    def __init__(self, port: "SqlitePort", tenant_id: UUID | None) -> None:
        self._port = port
        self._connection = port.connection
        self._walls = port.connection.walls
        self._tenant_id = tenant_id

    @override
    def _fetch(self, sql: str, arguments: Arguments, timeout: float | None, *, first: bool) -> list[Row]:
        def run(text: str) -> list[Row]:
            cursor = self._connection.execute(text, _plain(arguments))
            if cursor.description is None:
                return []
            make = row_type(tuple(self._walls.spoken(column[0]) for column in cursor.description))
            rows = cursor.fetchmany(1) if first else cursor.fetchall()
            cursor.close()
            return [*map(make, rows)]

        return self._walled(run, sql, arguments, timeout)

    @override
    def _execute(self, sql: str, arguments: Arguments, timeout: float | None) -> int:
        def run(text: str) -> int:
            cursor = self._connection.execute(text, _plain(arguments))
            cursor.fetchall()  # what RETURNING gives must be read, or nothing is done
            return max(cursor.rowcount, self._walls.changed, 0)

        return self._walled(run, sql, arguments, timeout)

    @override
    def _execute_many(self, sql: str, many: Sequence[Arguments], timeout: float | None) -> None:
        self._walled(lambda text: self._connection.executemany(text, map(_plain, many)), sql, (), timeout)

    @override
    def _script(self, sql: str, timeout: float | None) -> None:
        for statement in sqltext.read(sql, sqlite=True).statements:  # executescript() would commit first
            self._execute(statement, (), timeout)

    @override
    def prepare(self, sql: str) -> None:
        self._refuse_transaction(sql)
        count = sqltext.read(sql, sqlite=True).parameters
        self._walled(lambda text: self._connection.execute(f"EXPLAIN {text}", [None] * count).close(), sql, (), None)

    @override
    def copy(
        self,
        table: str,
        schema: str | None,
        columns: Sequence[str] | None,
        records: Iterable[Arguments],
        timeout: float | None,
    ) -> int:
        written = [*map(_plain, records)]
        if not written:
            return 0
        marks = ", ".join(f"${n}" for n in range(1, len(written[0]) + 1))
        sql = f"INSERT INTO {target(table, schema, columns)} VALUES ({marks})"  # noqa: S608 - names are quoted

        def run(text: str) -> int:
            cursor = self._connection.executemany(text, written)
            return max(cursor.rowcount, self._walls.changed)

        return self._walled(run, sql, (), timeout)

    def _walled(self, run: Callable[[str], T], sql: str, arguments: Arguments, timeout: float | None) -> T:
        def walled() -> T:
            with self._connection.limited(timeout), self._walls.raised(self._tenant_id, sql) as text:
                return run(text)

        return self._port.timed(walled, sql, arguments)


def _plain(arguments: Arguments) -> list[Any]:
    return [value if type(value) in _NATIVE else _written(value) for value in arguments]


_NATIVE = {str, bytes, float, bool, type(None)}


def _written(value: Any) -> Any:
    match value:
        case UUID():
            return value.bytes
        case datetime():
            return micros(value)
        case dict() | list() | tuple():
            return to_json(value)
        case int() if not -_LARGEST <= value < _LARGEST:
            raise InvalidInput("An integer has at most 64 bits", field="arguments")
    return value
