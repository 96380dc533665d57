"""A caller's own SQL, run in the open lane: what it leaves in a session never meets our operations."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from undercroft.core.door import sqltext
from undercroft.core.door.rows import Row
from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.schema import SCHEMA, every_table
from undercroft.core.tx import Tx
from undercroft.db.records import ConnectionHealth, Validated
from undercroft.errors import DatabaseError, InvalidInput, TenantMismatch

R = TypeVar("R")
S = TypeVar("S", bound="Statement")


class Statement(Protocol):
    """Something whose text can be prepared."""

    sql: str


def execute(ports: Ports, sql: str, *args: Any, timeout: float | None = None) -> int:
    """Run one statement and return how many rows it touched, 0 where the database does not count.

    Raises:
        InvalidInput: it is more than one statement, ends a transaction, or has other parameters than arguments.
        DatabaseError: what the database says, classified; QueryTimeout past ``timeout``.
    """
    return _EXECUTE(ports, sql, args, timeout)


def fetch(ports: Ports, sql: str, *args: Any, timeout: float | None = None) -> list[Row]:
    """Run one statement and return its rows, with the values that the driver gives; raises as `execute` does."""
    return _FETCH(ports, sql, args, timeout)


def fetchrow(ports: Ports, sql: str, *args: Any, timeout: float | None = None) -> Row | None:
    """Run one statement and return its first row, or None; raises as `execute` does."""
    rows = _FETCH_FIRST(ports, sql, args, timeout)
    return rows[0] if rows else None


def fetchval(ports: Ports, sql: str, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
    """Run one statement and return one value of its first row, or None where there is no row.

    Raises as `execute` does, and InvalidInput where the row has no such column.
    """
    rows = _FETCH_FIRST(ports, sql, args, timeout)
    if not rows:
        return None
    if not -len(rows[0]) <= column < len(rows[0]):
        raise InvalidInput(f"The row has {len(rows[0])} columns", field="column", hint="count them from 0")
    return rows[0][column]


def execute_many(tx: Tx, sql: str, args: Iterable[Sequence[Any]], *, timeout: float | None = None) -> None:
    """Run one statement once for each set of arguments, all or none; raises as `execute` does."""
    tx.door.execute_many(sql, list(args), timeout)


def execute_in_transaction(
    tx: Tx, statements: Iterable[tuple[str, Sequence[Any]]], *, timeout: float | None = None
) -> list[int]:
    """Run statements with their arguments, all or none, and return how many rows each of them touched."""
    return [tx.door.execute(sql, args, timeout) for sql, args in statements]


def execute_script(ports: Ports, script: str | Path, *, timeout: float | None = None) -> None:
    """Run the statements of a text, or of a UTF-8 file, all or none."""
    ports.run(_SCRIPT, script.read_text(encoding="utf-8") if isinstance(script, Path) else script, timeout)


def copy_records_to_table(
    tx: Tx,
    table: str,
    *,
    records: Iterable[Sequence[Any]],
    columns: Sequence[str] | None = None,
    schema: str | None = None,
    timeout: float | None = None,
) -> int:
    """Fill a table the fastest way there is, all or none, and return how many rows were added.

    That is COPY on PostgreSQL, and one INSERT for all where the table is of the library's ``schema="undercroft"``, into
    which PostgreSQL copies nothing; there ``tenant_id`` may be left out.

    Raises:
        TenantMismatch: a record belongs to another tenant.
    """
    if schema == SCHEMA and not tx.door.copies_into_walls:
        return _insert(tx, table, records, columns)
    return tx.door.copy(table, schema, columns, records, timeout)


def check_connection_health(ports: Ports) -> ConnectionHealth:
    """Tell whether a connection answers, and how fast; never raises for a database that does not."""
    start = time.perf_counter()
    error = None
    try:
        _FETCH(ports, "SELECT 1", (), None)
    except DatabaseError as failure:
        error = failure.code
    return ConnectionHealth(error is None, (time.perf_counter() - start) * 1000, error)


def validate_connections(ports: Ports) -> Validated:
    """Try every idle connection and replace those that the server has given up."""
    return Validated(*ports.validate())


def prepare(tx: Tx, statement: S) -> S:
    """Let the database look at a statement and return it."""
    tx.door.prepare(statement.sql)
    return statement


def _insert(tx: Tx, table: str, records: Iterable[Sequence[Any]], columns: Sequence[str] | None) -> int:
    target = every_table().tables.get(f"{SCHEMA}.{table}")
    if target is None:
        raise InvalidInput(f"There is no table {SCHEMA}.{table}", field="table")
    names = list(target.c.keys() if columns is None else columns)
    unknown = set(names) - set(target.c.keys())
    if unknown:
        raise InvalidInput(f"{SCHEMA}.{table} has no column {min(unknown)}", field="columns")
    rows = [{"tenant_id": tx.tenant_id, **dict(zip(names, record, strict=True))} for record in records]
    if any(row["tenant_id"] != tx.tenant_id for row in rows):
        raise TenantMismatch("A record belongs to another tenant", hint="leave tenant_id out of the columns")
    return tx.insert_many(target, rows, conflict="error")


def _execute(tx: Tx, sql: str, args: Sequence[Any], timeout: float | None) -> int:
    return tx.door.execute(sql, args, timeout)


def _fetch(tx: Tx, sql: str, args: Sequence[Any], timeout: float | None) -> list[Row]:
    return tx.door.fetch(sql, args, timeout)


def _fetch_first(tx: Tx, sql: str, args: Sequence[Any], timeout: float | None) -> list[Row]:
    return tx.door.fetch(sql, args, timeout, first=True)


def _script(tx: Tx, script: str, timeout: float | None) -> None:
    tx.door.script(script, timeout)


_Statement = Callable[[Tx, str, Sequence[Any], float | None], R]


class _Run(Generic[R]):
    """A statement's operation, as a read where the text says that it is one: on SQLite a read waits for no writer."""

    def __init__(self, fn: _Statement[R]) -> None:
        self._reading = operation(fn, access="read", lane="open")
        self._writing = operation(fn, lane="open")

    def __call__(self, ports: Ports, sql: str, args: Sequence[Any], timeout: float | None) -> R:
        chosen = self._reading if sqltext.read(sql, sqlite=True).reads else self._writing
        result: R = ports.run(chosen, sql, args, timeout)
        return result


_EXECUTE = _Run(_execute)
_FETCH = _Run(_fetch)
_FETCH_FIRST = _Run(_fetch_first)
_SCRIPT = operation(_script, lane="open")
