"""A caller's SQL on PostgreSQL's two drivers. Both take ``$1``: asyncpg by itself, psycopg through its raw cursor."""

import abc
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.util import await_only
from typing_extensions import override

from undercroft.core.door.base import Arguments, Door, target
from undercroft.core.door.rows import Row, row_type
from undercroft.core.types import to_json

if TYPE_CHECKING:
    from undercroft.core.runtime.postgresql_ports import PostgresqlPort, PsycopgPort

Columns = Sequence[str] | None


class PostgresqlDoor(Door, abc.ABC):
    """What both drivers share: the port, which times an exchange and says what its error means."""

    def __init__(self, port: "PostgresqlPort") -> None:
        self._port = port
        self._driver: Any = port.driver

    @override
    def _fetch(self, sql: str, arguments: Arguments, timeout: float | None, *, first: bool) -> list[Row]:
        written = _plain(arguments)
        return self._port.timed(lambda *_: self._rows(sql, written, timeout, first=first), sql, arguments)

    @override
    def _execute(self, sql: str, arguments: Arguments, timeout: float | None) -> int:
        written = _plain(arguments)
        return rows_of(self._port.timed(lambda *_: self._run(sql, written, timeout), sql, arguments))

    @override
    def _execute_many(self, sql: str, many: Sequence[Arguments], timeout: float | None) -> None:
        written = [*map(_plain, many)]
        self._port.timed(lambda *_: self._run_many(sql, written, timeout), sql, ())

    @override
    def _script(self, sql: str, timeout: float | None) -> None:
        self._port.timed(lambda *_: self._run(sql, (), timeout), sql, ())

    @override
    def prepare(self, sql: str) -> None:
        self._refuse_transaction(sql)
        self._port.timed(lambda *_: self._prepare(sql), sql, ())

    @override
    def copy(
        self, table: str, schema: str | None, columns: Columns, records: Iterable[Arguments], timeout: float | None
    ) -> int:
        written = map(_plain, records)
        named = target(table, schema, columns)
        return self._port.timed(
            lambda *_: self._copy(table, schema, columns, written, timeout), f"COPY {named} FROM STDIN", ()
        )

    @abc.abstractmethod
    def _rows(self, sql: str, arguments: Arguments, timeout: float | None, *, first: bool) -> list[Row]: ...

    @abc.abstractmethod
    def _run(self, sql: str, arguments: Arguments, timeout: float | None) -> str:
        """Run a text and return its command tag."""

    @abc.abstractmethod
    def _run_many(self, sql: str, many: Sequence[Arguments], timeout: float | None) -> None: ...

    @abc.abstractmethod
    def _prepare(self, sql: str) -> None: ...

    @abc.abstractmethod
    def _copy(
        self, table: str, schema: str | None, columns: Columns, records: Iterable[Arguments], timeout: float | None
    ) -> int: ...


class AsyncpgDoor(PostgresqlDoor):
    """asyncpg, waited for in a greenlet; it keeps the time itself."""

    @override
    def _rows(self, sql: str, arguments: Arguments, timeout: float | None, *, first: bool) -> list[Row]:
        if first:
            found = await_only(self._driver.fetchrow(sql, *arguments, timeout=timeout))
            records = [] if found is None else [found]
        else:
            records = await_only(self._driver.fetch(sql, *arguments, timeout=timeout))
        return [*map(row_type(tuple(records[0].keys())), records)] if records else []

    @override
    def _run(self, sql: str, arguments: Arguments, timeout: float | None) -> str:
        return str(await_only(self._driver.execute(sql, *arguments, timeout=timeout)))

    @override
    def _run_many(self, sql: str, many: Sequence[Arguments], timeout: float | None) -> None:
        await_only(self._driver.executemany(sql, many, timeout=timeout))

    @override
    def _prepare(self, sql: str) -> None:
        await_only(self._driver.prepare(sql))

    @override
    def _copy(
        self, table: str, schema: str | None, columns: Columns, records: Iterable[Arguments], timeout: float | None
    ) -> int:
        copy = self._driver.copy_records_to_table
        return rows_of(await_only(copy(table, records=records, columns=columns, schema_name=schema, timeout=timeout)))


class PsycopgDoor(PostgresqlDoor):
    """psycopg, which has no clock of its own: the port gives a statement up when a timer says so."""

    _port: "PsycopgPort"

    @contextmanager
    def _cursor(self, timeout: float | None) -> Iterator[Any]:
        from psycopg import RawCursor  # noqa: PLC0415 - optional, and imported by whoever made the connection

        with RawCursor(self._driver) as cursor, _limited(self._port, timeout):
            yield cursor

    @override
    def _rows(self, sql: str, arguments: Arguments, timeout: float | None, *, first: bool) -> list[Row]:
        with self._cursor(timeout) as cursor:
            cursor.execute(sql, arguments or None)
            if cursor.description is None:
                return []
            make = row_type(tuple(column.name for column in cursor.description))
            return [*map(make, cursor.fetchmany(1) if first else cursor.fetchall())]

    @override
    def _run(self, sql: str, arguments: Arguments, timeout: float | None) -> str:
        with self._cursor(timeout) as cursor:
            return str(cursor.execute(sql, arguments or None).statusmessage)

    @override
    def _run_many(self, sql: str, many: Sequence[Arguments], timeout: float | None) -> None:
        with self._cursor(timeout) as cursor:
            cursor.executemany(sql, many)

    @override
    def _prepare(self, sql: str) -> None:
        # By itself psycopg prepares a statement together with an execution of it.
        self._run(f"PREPARE undercroft_looked_at AS {sql}", (), None)
        self._run("DEALLOCATE undercroft_looked_at", (), None)

    @override
    def _copy(
        self, table: str, schema: str | None, columns: Columns, records: Iterable[Arguments], timeout: float | None
    ) -> int:
        with self._cursor(timeout) as cursor:
            with cursor.copy(f"COPY {target(table, schema, columns)} FROM STDIN") as copy:
                for record in records:
                    copy.write_row(record)
            return int(cursor.rowcount)


@contextmanager
def _limited(port: "PsycopgPort", seconds: float | None) -> Iterator[None]:
    """Hold the exchange under way to a shorter limit than the port's own."""
    if seconds is None:
        yield
        return
    started = port.started

    def expire() -> None:
        if started is not None and port.started == started:
            port.overdue = started  # the connection is not used again: the cancellation may come late
            port.give_up(started)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _plain(arguments: Arguments) -> list[Any]:
    """Let a dict travel as the JSON text that every driver takes."""
    return [to_json(value) if isinstance(value, dict) else value for value in arguments]


def rows_of(tag: str) -> int:
    """Read the number of rows from a command tag such as ``UPDATE 3``."""
    count = tag.rpartition(" ")[2]
    return int(count) if count.isdecimal() else 0
