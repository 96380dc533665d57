"""SQLite: one file, write-ahead log, one writer at a time."""

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Table, bindparam
from sqlalchemy.dialects.sqlite import insert, pysqlite
from typing_extensions import override

from undercroft.core.dialects.base import BulkInsert, Description, Dialect, TableStats
from undercroft.core.schema import SCHEMA, SQLITE_FUNCTIONS, Base
from undercroft.core.slowlog import SlowLog
from undercroft.core.statement import Prepared, prepare
from undercroft.core.tx import Port, Tx
from undercroft.errors import CannotOpen, DatabaseError, TenantDeleted, TenantUnknown, UndercroftError, from_sqlite

BUSY_TIMEOUT = 5.0


def connect(path: Path, *, timeout: float = BUSY_TIMEOUT, read_only: bool = False) -> sqlite3.Connection:
    """Open a connection of ours; a new file is readable by its owner alone.

    ``synchronous=FULL``: in WAL mode the default of most builds may lose the last commits at a power cut.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise CannotOpen(path=str(path)) from error
    try:
        connection = sqlite3.connect(
            path, timeout=timeout, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        for name, (arguments, function) in SQLITE_FUNCTIONS.items():
            connection.create_function(name, arguments, function, deterministic=True)
    except sqlite3.Error as error:
        raise _meaning(error) from error
    return connection


def _meaning(error: sqlite3.Error) -> UndercroftError:
    code = getattr(error, "sqlite_errorcode", None)  # the name is "unknown" for codes newer than Python
    return (from_sqlite(code) if code else DatabaseError)()


class SqlitePort(Port):
    """A sqlite3 connection as operations meet it."""

    __slots__ = ("_connection", "_slow")

    def __init__(self, connection: sqlite3.Connection, slow: SlowLog) -> None:
        self._connection = connection
        self._slow = slow

    @override
    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        start = time.perf_counter()
        try:
            return self._connection.execute(sql, arguments).fetchall()
        except sqlite3.Error as error:
            raise _meaning(error) from error
        finally:
            self._slow.note(sql, arguments, time.perf_counter() - start)

    @override
    def execute(self, sql: str, arguments: Sequence[Any]) -> int:
        start = time.perf_counter()
        try:
            return self._connection.execute(sql, arguments).rowcount
        except sqlite3.Error as error:
            raise _meaning(error) from error
        finally:
            self._slow.note(sql, arguments, time.perf_counter() - start)

    @override
    def execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> int:
        start = time.perf_counter()
        try:
            return self._connection.executemany(sql, arguments).rowcount
        except sqlite3.Error as error:
            raise _meaning(error) from error
        finally:
            self._slow.note(sql, (), time.perf_counter() - start)


class _SqliteBulk(BulkInsert):
    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    @override
    def run(self, port: Port, rows: Sequence[Mapping[str, Any]]) -> int:
        return port.execute_many(self._prepared.sql, [self._prepared.arguments(row) for row in rows])


class SqliteDialect(Dialect):
    """Our tables carry no schema name in a file."""

    name = "sqlite"
    schema_map = {"undercroft": None}  # noqa: RUF012 - a class constant, typed as a Mapping in the base

    def __init__(self) -> None:
        sa = pysqlite.dialect()
        sa.default_schema_name = "main"
        super().__init__(sa)

    def _bulk_insert(self, table: Table, columns: tuple[str, ...], *, ignore: bool) -> BulkInsert:
        statement = insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in columns})
        if ignore:  # not INSERT OR IGNORE, which drops rows that break NOT NULL or CHECK as well
            statement = statement.on_conflict_do_nothing()
        return _SqliteBulk(prepare(statement, self.sa, schema_map=self.schema_map))

    @override
    def translate(self, error: BaseException) -> UndercroftError | None:
        return _meaning(error) if isinstance(error, sqlite3.Error) else None

    @override
    def describe(self, tx: Tx) -> Description:
        names = [table.name for table in Base.metadata.sorted_tables if table.schema == SCHEMA]
        counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM main.{name}" for name in names)
        tables = [TableStats(name, rows, None) for name, rows in tx.sql(counts)]
        facts = "SELECT sqlite_version(), page_count * page_size FROM pragma_page_count, pragma_page_size"
        version, size = tx.sql(facts)[0]
        return Description(version, _revision(tx), size, tables)

    @override
    def purge_tenant(self, tx: Tx, tenant_id: UUID) -> int:
        removed = 0
        for table in reversed(Base.metadata.sorted_tables):
            if table.schema == SCHEMA and "tenant_id" in table.c:
                removed += tx.run(table.delete().where(table.c.tenant_id == bindparam("id")), {"id": tenant_id})
        return removed

    def enter(self, port: Port, tenant_id: UUID, tenant_name: str | None) -> None:
        """Check that the tenant exists and is not deleted: the file has no walls, so this is the door."""
        found = port.fetch("SELECT deleted_at IS NULL FROM main.tenants WHERE tenant_id = ?", (tenant_id.bytes,))
        if not found:
            raise TenantUnknown(tenant=tenant_name)
        if not found[0][0]:
            raise TenantDeleted(tenant=tenant_name)


def _revision(tx: Tx) -> str | None:
    found = tx.sql("SELECT version_num FROM main.undercroft_alembic_version")
    return str(found[0][0]) if found else None
