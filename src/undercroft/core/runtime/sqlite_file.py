"""A store's connections to its SQLite file.

Readers have connections of their own and never wait for the writer (write-ahead log). In a process one transaction
writes at a time; between processes SQLite's own lock decides, waited for with its busy timeout and our retries.
"""

import functools
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from undercroft.core.dialects.sqlite import BUSY_TIMEOUT, SqliteDialect, SqlitePort, connect
from undercroft.core.dialects.sqlite_connection import FileConnection, WalledConnection
from undercroft.core.dialects.sqlite_views import schemas
from undercroft.core.retry import Attempts, Budget
from undercroft.core.runtime.listener import Listener
from undercroft.core.runtime.memory import Memory
from undercroft.core.runtime.place import Facts, History, names
from undercroft.core.runtime.sqlite_notices import ChangeCounter
from undercroft.core.runtime.transaction import BlockingTransaction
from undercroft.core.scope import Scope
from undercroft.core.seal.keyring import Keyring
from undercroft.core.slowlog import SlowLog
from undercroft.core.tx import Tx
from undercroft.errors import SchemaMissing, SchemaOutdated, StoreClosed, UndercroftError
from undercroft.settings import Settings

Work = Callable[[Tx], Any]


class SqliteFile:
    """The connections of one store to its file, and what a transaction on them is."""

    def __init__(self, path: Path, history: History, slow: SlowLog, settings: Settings, keys: Keyring) -> None:
        self.path = path
        self.keys = keys
        self._settings = settings
        self._limit = settings.query_timeout
        self._history = history
        self.slow = slow
        self.dialect = SqliteDialect()
        self.dialect.sensitive = self.sensitive = names(settings.audit_redact)
        self.budget = Budget()
        self.memory = Memory(settings.max_remembered)
        self.listener = Listener(self.memory, self._heard)
        self._closed = False
        self._readers: list[FileConnection] = []
        self._writer: FileConnection | None = None
        self._writer_shown: tuple[WalledConnection, Engine] | None = None
        self._prompt: FileConnection | None = None
        self._opening = threading.Lock()
        self._open = False

    def tx(self, connection: FileConnection, scope: Scope) -> Tx:
        """Begin an operation's view on a connection: the tenant is checked before anything else."""
        port = SqlitePort(connection, self.slow)
        if scope.tenant_id is not None:
            self.dialect.enter(port, scope.tenant_id, scope.tenant_name)
        return Tx(port, self.dialect, scope.tenant_id, scope.tenant_name, keys=self.keys)

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._closed

    @contextmanager
    def reading(self) -> Generator[FileConnection, None, None]:
        """Lend a connection that cannot write."""
        if self.closed:
            raise StoreClosed
        try:
            connection = self._readers.pop()  # atomic, as is append: no lock
        except IndexError:
            connection = connect(self.path, limit=self._limit, read_only=True)
        try:
            yield connection
        finally:
            self._take_back(connection)

    def _take_back(self, connection: FileConnection) -> None:
        if self.closed:
            connection.close()
        else:
            self._readers.append(connection)

    def read(self, scope: Scope, work: Work) -> Any:
        """Run work that only selects; every statement sees the last commit, one transaction sees one snapshot."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            try:
                result = work(self.tx(connection, scope))
            except BaseException:
                self.rollback(connection)  # after an error of the disk or of the file, COMMIT would raise another one
                raise
            connection.execute("COMMIT")  # keeps a tenant's views, which are temporary and all that can be written
            return result

    def writer(self) -> FileConnection:
        """The one connection that writes; whoever asks must hold the right to."""
        if self.closed:
            raise StoreClosed
        if self._writer is None:
            self._writer = connect(self.path, limit=self._limit)
            self._writer.expect_turns()
        return self._writer

    def begin(self, connection: FileConnection) -> None:
        """Take the file's write lock, waiting for other processes."""
        attempts = Attempts(self.budget)
        self.budget.earn()
        take = functools.partial(connection.begin_writing, BUSY_TIMEOUT)
        while True:
            try:
                SqlitePort(connection, self.slow).timed(take, "BEGIN IMMEDIATE", ())
            except UndercroftError as error:
                wait = attempts.delay(error)
                if wait is None:
                    raise
                time.sleep(wait)
            else:
                return

    def commit(self, connection: FileConnection) -> None:
        """Make the transaction durable, or roll it back and raise."""
        try:
            SqlitePort(connection, self.slow).execute("COMMIT", ())
        except BaseException:
            self.rollback(connection)
            raise

    def rollback(self, connection: FileConnection) -> None:
        """Undo the transaction where SQLite has not done so by itself (it does on a full disk, for one)."""
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def write(self, scope: Scope, work: Work) -> Any:
        """Run work in a transaction of its own on the writer connection."""
        connection = self.writer()
        self.begin(connection)
        try:
            tx = self.tx(connection, scope)
            result = work(tx)
        except BaseException:
            self.rollback(connection)
            raise
        self.commit(connection)
        tx.committed(self.memory)
        return result

    def read_at_once(self, scope: Scope, work: Work) -> Any:
        """Run a short read without ever waiting; raises LockTimeout where it would have to."""
        if self.closed:
            raise StoreClosed
        if self._prompt is None:
            self._prompt = connect(self.path, timeout=0, limit=self._limit, read_only=True)
        return work(self.tx(self._prompt, scope))

    def begin_transaction(self, scope: Scope) -> BlockingTransaction:
        """Open a caller's transaction on the writer connection."""
        connection = self.writer()
        self.begin(connection)
        try:
            tx = self.tx(connection, scope)
            return BlockingTransaction(tx, self.facts, functools.partial(self._show_writer, connection, scope))
        except BaseException:
            self.rollback(connection)
            raise

    def _show_writer(self, connection: FileConnection, scope: Scope) -> Connection:
        if self._writer_shown is None:
            walled = WalledConnection(connection)
            self._writer_shown = walled, _shown(walled)
        walled, engine = self._writer_shown
        walled.tenant_id = scope.tenant_id
        names = dict.fromkeys((*schemas(), None), "main")
        return engine.connect().execution_options(schema_translate_map=names)

    def commit_transaction(self, transaction: BlockingTransaction) -> None:
        """Make a caller's transaction durable."""
        transaction.end()
        self.commit(self.writer())
        transaction.committed(self.memory)

    def abandon_transaction(self) -> None:
        """Undo whatever a caller's transaction left open."""
        if self._writer is not None:
            self._writer.walls.leave()
            self.rollback(self._writer)

    @contextmanager
    def sqlalchemy(self) -> Generator[Connection, None, None]:
        """Lend a new connection as SQLAlchemy's."""
        raw = connect(self.path)
        try:
            with _shown(raw).connect() as connection:
                yield connection
        finally:
            raw.close()

    def validate(self) -> tuple[int, int]:
        """Try the connections that nobody uses; those to a file do not break, so none is ever dropped."""
        with self.reading() as connection:
            connection.execute("SELECT 1")
        return 1, 0

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work on a connection of its own, each statement its own transaction."""
        try:
            with self.sqlalchemy() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise self.dialect.translate(error) or error from error

    def migrate(self, revision: str = "head") -> None:
        """Bring the file's schema to a revision; several processes may do so at once."""
        with self.sqlalchemy() as connection:
            self._history.upgrade(connection, revision)

    def open(self, *, migrate: bool) -> None:
        """Make sure, once, that the schema is the one this library knows."""
        with self._opening:
            if self._open:
                return
            with self.sqlalchemy() as connection:
                try:
                    self._history.check(connection)
                except (SchemaMissing, SchemaOutdated):
                    if not migrate:
                        raise
                    self._history.upgrade(connection, "head")
            self._open = True

    @property
    def facts(self) -> Facts:
        """What is known without asking the file."""
        return Facts(
            "sqlite",
            f"sqlite:///{self.path}",
            self._history.head,
            {},
            cache_ttl_seconds=self._settings.cache_ttl_seconds,
            max_cache_entries=self._settings.max_cache_entries,
            audit_key_file=self._settings.audit_key_file,
        )

    @property
    def is_open(self) -> bool:
        """Whether the schema was found to be right."""
        return self._open

    def _heard(self, stopped: threading.Event) -> ChangeCounter:
        return ChangeCounter(self.path, stopped)

    def close(self) -> None:
        """Close every connection that is not lent."""
        self._closed = True
        while self._readers:
            self._readers.pop().close()
        for connection in (self._writer, self._prompt):
            if connection is not None:
                connection.close()
        self._writer = self._prompt = None


def _shown(raw: FileConnection | WalledConnection) -> Engine:
    """Make an engine that has this one connection; transactions on it stay ours.

    RETURNING knows nothing of what the database filled in where a view is written, so a session asks again for that.
    """
    engine = create_engine(
        "sqlite://",
        creator=lambda: raw,
        poolclass=StaticPool,
        pool_reset_on_return=None,
        execution_options={"schema_translate_map": dict(SqliteDialect.schema_map)},
    )
    engine.connect().close()
    dialect = engine.dialect
    dialect.insert_returning = dialect.update_returning = dialect.delete_returning = False
    dialect.insert_executemany_returning = dialect.use_insertmanyvalues = False
    return engine
