"""SQLite: one file, write-ahead log, one writer at a time."""

import math
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import ClauseElement, Table, bindparam
from sqlalchemy.dialects.sqlite import insert, pysqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import CompilerElement
from typing_extensions import override

from undercroft.core.dialects import sqlite_search
from undercroft.core.dialects.base import BulkInsert, Description, Dialect, TableStats
from undercroft.core.dialects.criteria import Criteria
from undercroft.core.dialects.sqlite_connection import FileConnection
from undercroft.core.dialects.sqlite_views import rights
from undercroft.core.door.sqlite import SqliteDoor
from undercroft.core.schema import SCHEMA, SQLITE_FUNCTIONS, every_table
from undercroft.core.slowlog import SlowLog
from undercroft.core.statement import Prepared, prepare
from undercroft.core.tx import Port, Tx
from undercroft.errors import (
    CannotOpen,
    DatabaseError,
    InvalidInput,
    PermissionDenied,
    TenantDeleted,
    TenantUnknown,
    UndercroftError,
    UnderLegalHold,
    from_sqlite,
)

T = TypeVar("T")
BUSY_TIMEOUT = 5.0
_INCREMENTAL = 2
_SECURE = "PRAGMA secure_delete=ON"  # what is removed is overwritten, however SQLite was built
_PAGES_GIVEN_BACK = 1000  # 4 MB: more at once would keep writers waiting


def connect(
    path: Path, *, timeout: float = BUSY_TIMEOUT, limit: float = math.inf, read_only: bool = False
) -> FileConnection:
    """Open a connection of ours, whose statements may take ``limit`` seconds; a new file is its owner's alone.

    ``synchronous=FULL``: in WAL mode the default of most builds may lose the last commits at a power cut.
    """
    try:
        # Never open a file that is there: closing any descriptor of it drops every lock that this process holds on it
        # (POSIX), and with them what keeps two writers apart.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise CannotOpen(path=str(path)) from error
    try:
        connection = sqlite3.connect(
            path,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
            factory=FileConnection,
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(_SECURE)
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        connection.keep_to(limit)
        for name, (arguments, function) in SQLITE_FUNCTIONS.items():
            connection.create_function(name, arguments, function, deterministic=True)
    except sqlite3.Error as error:
        raise _meaning(error) from error
    return connection


def _meaning(error: sqlite3.Error | OverflowError) -> UndercroftError:
    code = getattr(error, "sqlite_errorcode", None)  # the name is "unknown" for codes newer than Python
    if code:
        return from_sqlite(code)()
    if isinstance(error, sqlite3.InterfaceError | sqlite3.ProgrammingError | OverflowError):
        return InvalidInput("A value is of a type, or of a size, that SQLite cannot hold")
    return DatabaseError()


class SqlitePort(Port):
    """A sqlite3 connection as operations meet it."""

    __slots__ = ("_begun", "_slow", "connection")

    def __init__(self, connection: FileConnection, slow: SlowLog) -> None:
        self.connection = connection
        self._slow = slow
        self._begun = connection.in_transaction

    @override
    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        return self.timed(lambda: self.connection.execute(sql, arguments).fetchall(), sql, arguments)

    @override
    def execute(self, sql: str, arguments: Sequence[Any]) -> int:
        return self.timed(lambda: self.connection.execute(sql, arguments).rowcount, sql, arguments)

    @override
    def execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> int:
        return self.timed(lambda: self.connection.executemany(sql, arguments).rowcount, sql, ())

    @override
    def door(self, tenant_id: UUID | None) -> SqliteDoor:
        return SqliteDoor(self, tenant_id)

    def timed(self, call: Callable[[], T], sql: str, arguments: Sequence[Any]) -> T:
        """Make one call: raise its errors as ours, note its time."""
        if self._begun and not self.connection.in_transaction:
            raise DatabaseError("SQLite has rolled the whole transaction back", hint="see the error before this one")
        start = time.perf_counter()
        self.connection.deadline, self.connection.overdue = start + self.connection.limit, False
        try:
            return call()
        except (sqlite3.Error, OverflowError) as error:
            if isinstance(error, sqlite3.OperationalError):
                self.connection.tell_interrupt(error)
            raise _meaning(error) from error
        finally:
            self.connection.deadline = math.inf
            self._slow.note(sql, arguments, time.perf_counter() - start)


class _SqliteBulk(BulkInsert):
    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    @override
    def run(self, port: Port, rows: Sequence[Mapping[str, Any]]) -> int:
        return port.execute_many(self._prepared.sql, self._prepared.many(rows))


class SqliteDialect(Dialect):
    """Our tables carry no schema name in a file."""

    name = "sqlite"
    one_writer = True  # BEGIN IMMEDIATE takes the whole file
    schema_map = {"undercroft": None}  # noqa: RUF012 - a class constant, typed as a Mapping in the base

    def __init__(self) -> None:
        sa = pysqlite.dialect()
        sa.default_schema_name = "main"
        super().__init__(sa)

    def _bulk_insert(self, table: Table, columns: tuple[str, ...], *, ignore: bool) -> BulkInsert:
        statement = insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in columns})
        if ignore:  # not INSERT OR IGNORE, which drops rows that break NOT NULL or CHECK as well
            statement = statement.on_conflict_do_nothing()
        return _SqliteBulk(self._prepare(statement, entering=False))

    @override
    def _prepare(self, statement: CompilerElement, *, entering: bool) -> Prepared:
        del entering  # a file has no walls
        # A file has one schema, whatever the schemas of a user's own models are called.
        schemas: dict[str | None, str | None] = {**self.schema_map}
        for item in visitors.iterate(cast("ClauseElement", statement)):
            if isinstance(item, Table) and item.schema is not None:
                schemas[item.schema] = None
        return prepare(statement, self.sa, schema_map=schemas)

    @override
    def check_right(self, table: Table, verb: str) -> None:
        if table.schema == SCHEMA and verb not in rights(table.name):
            raise PermissionDenied(f"The application may not {verb} rows of {table.name}", hint="its own calls do")

    @override
    def plan_anew(self, tx: Tx) -> None:
        """Do nothing: SQLite plans by the schema and by statistics, never by how large a table is now."""

    @override
    def translate(self, error: BaseException) -> UndercroftError | None:
        if isinstance(error, DBAPIError) and error.orig is not None:
            return self.translate(error.orig)
        return _meaning(error) if isinstance(error, sqlite3.Error | OverflowError) else None

    @override
    def describe(self, tx: Tx) -> Description:
        names = [table.name for table in every_table().sorted_tables if table.schema == SCHEMA]
        counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM main.{name}" for name in names)
        tables = [TableStats(name, rows, None) for name, rows in tx.sql(counts)]
        facts = "SELECT sqlite_version(), page_count * page_size FROM pragma_page_count, pragma_page_size"
        version, size = tx.sql(facts)[0]
        return Description(version, _revision(tx), size, tables)

    @override
    def insert_searchable(
        self, tx: Tx, messages: Table, rows: Sequence[dict[str, Any]], words: Sequence[Sequence[str]]
    ) -> int:
        return sqlite_search.insert_searchable(tx, messages, rows, words)

    @override
    def reindex(self, tx: Tx, words: Mapping[UUID, Sequence[str]]) -> None:
        sqlite_search.reindex(tx, words)

    @override
    def unindex(self, tx: Tx, before: UUID) -> None:
        sqlite_search.unindex(tx, before)

    @override
    def drop_expired(self, tx: Tx, data_class: str, keep: int | None) -> list[tuple[UUID, int]]:
        return []  # a file has no partitions

    @override
    def give_back(self, tx: Tx) -> None:
        if tx.sql("PRAGMA auto_vacuum")[0][0] == _INCREMENTAL:
            free: int = tx.sql("PRAGMA freelist_count")[0][0]
            for _ in range(min(free, _PAGES_GIVEN_BACK)):  # one a statement: it goes on with each row, and has none
                tx.command("PRAGMA incremental_vacuum(1)")

    @override
    def search_messages(self, tx: Tx, criteria: Criteria) -> list[tuple[UUID, float]]:
        return sqlite_search.search(tx, criteria)

    @override
    def purge_tenant(self, tx: Tx, tenant_id: UUID) -> int:
        if tx.sql("SELECT 1 FROM main.legal_holds WHERE tenant_id = ?", (tenant_id.bytes,)):
            raise UnderLegalHold
        sqlite_search.forget_tenant(tx, tenant_id)
        removed = 0
        for table in reversed(every_table().sorted_tables):
            if table.schema == SCHEMA and "tenant_id" in table.c:
                removed += tx.run(table.delete().where(table.c.tenant_id == bindparam("id")), {"id": tenant_id})
        return removed

    @override
    def announce(self, tx: Tx, tenant_id: UUID | None, topic: str) -> int:
        return int(tx.sql(_ANNOUNCE, ((tenant_id or _FLEET).bytes, topic))[0][0])

    @override
    def change_scope(self, tx: Tx, topic: str) -> str:
        return f"{tx.tenant_id.hex}/{topic}"

    @override
    def try_lock(self, tx: Tx, name: str) -> bool:
        return True  # whoever writes holds the whole file

    def enter(self, port: Port, tenant_id: UUID, tenant_name: str | None) -> None:
        """Check that the tenant exists and is not deleted: the file has no walls, so this is the door."""
        found = port.fetch("SELECT deleted_at IS NULL FROM main.tenants WHERE tenant_id = ?", (tenant_id.bytes,))
        if not found:
            raise TenantUnknown(tenant=tenant_name)
        if not found[0][0]:
            raise TenantDeleted(tenant=tenant_name)


_FLEET = UUID(int=0)
# One count for the whole file, whose writers take turns: what is above the last one seen is new.
_ANNOUNCE = """
INSERT INTO main.change_versions (tenant_id, topic, version)
VALUES (?, ?, (SELECT coalesce(max(version), 0) + 1 FROM main.change_versions))
ON CONFLICT (tenant_id, topic) DO UPDATE SET version = excluded.version
RETURNING version
"""


def _revision(tx: Tx) -> str | None:
    found = tx.sql("SELECT version_num FROM main.undercroft_alembic_version")
    return str(found[0][0]) if found else None
