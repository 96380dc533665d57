"""Running operations on PostgreSQL: psycopg for a Store, asyncpg for an AsyncStore.

The hot lane runs our own operations on connections of its own. A caller's transaction or session takes the open lane: a
connection of SQLAlchemy's pool, reset on return, so that nothing a caller sets ever meets our operations.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn
from typing_extensions import override

from undercroft.core.operation import operation
from undercroft.core.retry import Attempts, Budget
from undercroft.core.runtime.base import Awaiting, AwaitingEngine, Blocking, BlockingEngine, Facts
from undercroft.core.runtime.lanes import AwaitingLane, BlockingLane
from undercroft.core.runtime.postgresql_ports import AsyncpgPort, PostgresqlPort, PsycopgPort
from undercroft.core.runtime.server import Server
from undercroft.core.runtime.transaction import AwaitingTransaction, BlockingTransaction
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.errors import CommitUnknown, DatabaseUnavailable, UndercroftError


def _attempt(
    port: PostgresqlPort, server: Server, scope: Scope, op: operation[..., Any], work: Callable[[Tx], Any]
) -> Any:
    """Run an operation once on a connection of the hot lane; the same for both drivers."""
    if scope.tenant_id is not None and server.direct and op.access != "write":
        # One statement, one message: it enters the tenant itself and is its own transaction.
        tx = Tx(port, server.dialect, scope.tenant_id, scope.tenant_name, entering=True)
        try:
            return work(tx)
        except DatabaseUnavailable as error:
            if op.access == "append":
                raise CommitUnknown from error
            raise
        except UndercroftError as error:
            error.context.setdefault("tenant", scope.tenant_name)
            raise
    port.begin(scope, privileged=server.privileged)
    try:
        result = work(Tx(port, server.dialect, scope.tenant_id, scope.tenant_name))
    except Exception:
        port.rollback()
        raise
    port.commit()
    return result


def _begin_open(
    connection: Connection, server: Server, scope: Scope, port_type: type[PostgresqlPort]
) -> BlockingTransaction:
    """Enter a scope as the first statement of a transaction of SQLAlchemy's, so that SQLAlchemy knows that it began."""
    try:
        for command in server.dialect.begin(scope, privileged=server.privileged).split("; ")[1:] or ["SELECT 1"]:
            connection.exec_driver_sql(command)
    except SQLAlchemyError as error:
        meaning = server.dialect.translate(error)
        if meaning is None:
            raise
        meaning.context.setdefault("tenant", scope.tenant_name)
        raise meaning from error
    port = port_type(connection.connection.driver_connection, server.dialect, server.slow)
    return BlockingTransaction(
        Tx(port, server.dialect, scope.tenant_id, scope.tenant_name), server.facts({}), lambda: connection
    )


def _commit_open(connection: Connection, server: Server) -> None:
    try:
        connection.commit()
    except SQLAlchemyError as error:
        meaning = server.dialect.translate(error)
        if isinstance(meaning, DatabaseUnavailable):
            raise CommitUnknown from error
        raise (meaning or error) from error


class BlockingPostgresql(BlockingEngine):
    """Runs on psycopg in the caller's thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._hot: Engine | None = None
        self._open: Engine | None = None
        self._lane = BlockingLane(self._connect, server.hot_size, server.pool_timeout, server.recycle)
        self._budget = Budget()
        self._opening = threading.Lock()
        self._ready = False

    def _connect(self) -> PsycopgPort:
        assert self._hot is not None  # noqa: S101 - open() made it
        try:
            lent = self._hot.raw_connection()
            driver: Any = lent.driver_connection
            lent.detach()
        except SQLAlchemyError as error:
            raise self._server.dialect.translate(error) or DatabaseUnavailable() from error
        driver.autocommit = True
        return PsycopgPort(driver, self._server.dialect, self._server.slow)

    @override
    def run(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not self._ready:
            self.open()
        self._budget.earn()
        attempts = Attempts(self._budget)
        while True:
            try:
                if op.lane == "open":
                    with self.transaction(scope) as transaction:
                        return transaction.run(scope, op, *args, **kwargs)
                port = self._lane.take()
                try:
                    return _attempt(port, self._server, scope, op, lambda tx: op.fn(tx, *args, **kwargs))
                finally:
                    self._lane.give(port)
            except UndercroftError as error:
                wait = attempts.delay(error)
                if wait is None:
                    raise
                if isinstance(error, DatabaseUnavailable):
                    self._lane.forget_idle()
            time.sleep(wait)

    @override
    @contextmanager
    def transaction(self, scope: Scope) -> Generator[Blocking, None, None]:
        if not self._ready:
            self.open()
        assert self._open is not None  # noqa: S101 - open() made it
        with self._server.translated():
            connection = self._open.connect()
        with connection:
            transaction = _begin_open(connection, self._server, scope, PsycopgPort)
            try:
                yield transaction
                transaction.end()
                _commit_open(connection, self._server)
            finally:
                transaction.end()

    @override
    @contextmanager
    def session(self, scope: Scope) -> Generator[Session, None, None]:
        with self.transaction(scope) as transaction, transaction.session(scope) as session:
            yield session

    @property
    @override
    def facts(self) -> Facts:
        return self._server.facts(self._lane.use)

    @override
    def open(self) -> None:
        with self._opening:
            if self._ready:
                return
            self._server.check()
            arguments = self._server.engine_arguments("psycopg")
            self._hot = create_engine(poolclass=NullPool, **arguments)
            self._open = create_engine(**self._server.open_pool, **arguments)
            self._server.attach(self._hot.dialect)
            with self._server.translated(), self._hot.connect():
                pass  # SQLAlchemy learns the server's version here, which compiling needs
            self._ready = True

    @override
    def migrate(self, revision: str = "head") -> None:
        self._server.migrate(revision)

    @override
    def close(self) -> None:
        self._lane.closed = True
        self._lane.forget_idle()
        if self._open is not None:
            self._open.dispose()


class AwaitingPostgresql(AwaitingEngine):
    """Runs on asyncpg, each operation in a greenlet."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._hot: AsyncEngine | None = None
        self._open: AsyncEngine | None = None
        self._lane = AwaitingLane(self._connect, server.hot_size, server.pool_timeout, server.recycle)
        self._budget = Budget()
        self._opening = asyncio.Lock()
        self._ready = False

    async def _connect(self) -> AsyncpgPort:
        assert self._hot is not None  # noqa: S101 - open() made it
        try:
            lent = await self._hot.raw_connection()
            driver = lent.driver_connection
            lent.detach()
        except (SQLAlchemyError, OSError) as error:
            raise self._server.dialect.translate(error) or DatabaseUnavailable() from error
        return AsyncpgPort(driver, self._server.dialect, self._server.slow)

    @override
    async def run(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not self._ready:
            await self.open()
        self._budget.earn()
        attempts = Attempts(self._budget)
        while True:
            try:
                if op.lane == "open":
                    async with self.transaction(scope) as transaction:
                        return await transaction.run(scope, op, *args, **kwargs)
                port = await self._lane.take()
                try:
                    return await greenlet_spawn(
                        _attempt, port, self._server, scope, op, lambda tx: op.fn(tx, *args, **kwargs)
                    )
                finally:
                    self._lane.give(port)
            except UndercroftError as error:
                wait = attempts.delay(error)
                if wait is None:
                    raise
                if isinstance(error, DatabaseUnavailable):
                    self._lane.forget_idle()
            await asyncio.sleep(wait)

    @override
    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncGenerator[Awaiting, None]:
        if not self._ready:
            await self.open()
        assert self._open is not None  # noqa: S101 - open() made it
        with self._server.translated():
            connection = await self._open.connect()
        try:
            inner = await connection.run_sync(_begin_open, self._server, scope, AsyncpgPort)
            try:
                yield AwaitingTransaction(inner, greenlet_spawn)
                inner.end()
                await connection.run_sync(_commit_open, self._server)
            finally:
                inner.end()
        except Exception:
            raise
        except BaseException:
            await connection.invalidate()  # cancelled in the middle of an exchange: never used again
            raise
        finally:
            await connection.close()

    @override
    @asynccontextmanager
    async def session(self, scope: Scope) -> AsyncGenerator[AsyncSession, None]:
        async with self.transaction(scope) as transaction, transaction.session(scope) as session:
            yield session

    @property
    @override
    def facts(self) -> Facts:
        return self._server.facts(self._lane.use)

    @override
    async def open(self) -> None:
        async with self._opening:
            if self._ready:
                return
            await asyncio.to_thread(self._server.check)
            arguments = self._server.engine_arguments("asyncpg")
            self._hot = create_async_engine(poolclass=NullPool, **arguments)
            self._open = create_async_engine(**self._server.open_pool, **arguments)
            self._server.attach(self._hot.dialect)
            with self._server.translated():
                async with self._hot.connect():
                    pass  # SQLAlchemy learns the server's version here, which compiling needs
            self._ready = True

    @override
    async def migrate(self, revision: str = "head") -> None:
        await asyncio.to_thread(self._server.migrate, revision)

    @override
    async def close(self) -> None:
        self._lane.closed = True
        self._lane.forget_idle()
        if self._open is not None:
            await self._open.dispose()
