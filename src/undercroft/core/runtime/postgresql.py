"""Running operations on PostgreSQL: psycopg for a Store, asyncpg for an AsyncStore.

The hot lane runs our own operations on connections of its own. A caller's transaction or session takes the open lane: a
connection of SQLAlchemy's pool, reset on return, so that nothing a caller sets ever meets our operations.
"""

import asyncio
import functools
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import orjson
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn
from typing_extensions import override

from undercroft.core.idempotency import is_keyed, work
from undercroft.core.operation import operation
from undercroft.core.retry import Attempts, Budget
from undercroft.core.runtime.asyncpg_port import AsyncpgPort
from undercroft.core.runtime.attempt import attempt
from undercroft.core.runtime.base import Awaiting, AwaitingEngine, Blocking, BlockingEngine
from undercroft.core.runtime.greenlets import GreenletPool
from undercroft.core.runtime.lanes import AwaitingLane, BlockingLane
from undercroft.core.runtime.place import Facts
from undercroft.core.runtime.postgresql_open import OpenTransaction, answers, validate
from undercroft.core.runtime.postgresql_ports import PsycopgPort
from undercroft.core.runtime.server import Server
from undercroft.core.runtime.transaction import AwaitingTransaction
from undercroft.core.scope import Scope
from undercroft.errors import DatabaseUnavailable, StoreClosed, UndercroftError, WrongColour


class BlockingPostgresql(BlockingEngine):
    """Runs on psycopg in the caller's thread."""

    def __init__(self, server: Server) -> None:
        self._server = self.place = server
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
        except Exception as error:  # the driver's own: raw_connection() wraps nothing
            raise self._server.dialect.translate(error) or error from error
        driver.autocommit = True
        return PsycopgPort(driver, self._server)

    @override
    def run(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._ensure_open()
        self._budget.earn()
        attempts = Attempts(self._budget, keyed=is_keyed(scope, op))
        call = work(scope, op, args, kwargs)
        while True:
            try:
                if op.lane == "open":
                    with self.transaction(scope) as transaction:
                        return transaction.run(scope, op, *args, **kwargs)
                port = self._lane.take()
                try:
                    return attempt(port, self._server, scope, op, call)
                finally:
                    self._lane.give(port)
            except UndercroftError as error:
                wait = attempts.delay(error)
                if wait is None:
                    raise attempts.outcome(error)  # noqa: B904 - most often the very same
                if isinstance(error, DatabaseUnavailable):
                    self._lane.forget_idle()
            time.sleep(wait)

    @override
    @contextmanager
    def transaction(self, scope: Scope) -> Generator[Blocking, None, None]:
        self._ensure_open()
        assert self._open is not None  # noqa: S101 - open() made it
        with self._server.translated():
            connection = self._open.connect()
        with connection:
            transaction = OpenTransaction(connection, self._server, scope, PsycopgPort)
            try:
                yield transaction
                transaction.commit()
            except Exception:
                raise
            except BaseException:
                transaction.abandon()
                raise
            finally:
                transaction.settle(closed=self._lane.closed)

    @override
    @contextmanager
    def session(self, scope: Scope) -> Generator[Session, None, None]:
        with self.transaction(scope) as transaction, transaction.session(scope) as session:
            yield session

    @property
    @override
    def facts(self) -> Facts:
        return self._server.facts(self._lane.use)

    def _ensure_open(self) -> None:
        if self._lane.closed:
            raise StoreClosed
        if not self._ready:
            self.open()

    @override
    def validate(self) -> tuple[int, int]:
        self._ensure_open()
        tried, silent = self._lane.validate(answers)
        more, replaced = validate(self._open)
        return tried + more, silent + replaced

    @override
    def open(self) -> None:
        with self._opening:
            if self._ready:
                return
            self._server.check()
            arguments = self._server.engine_arguments("psycopg")
            self._hot = create_engine(poolclass=NullPool, json_deserializer=orjson.loads, **arguments)
            self._open = create_engine(**self._server.open_pool, **arguments)
            self._server.attach(self._hot.dialect)
            with self._server.translated(), self._hot.connect():
                pass  # SQLAlchemy learns the server's version here, which compiling needs
            self._ready = True

    @override
    def close(self) -> None:
        self._lane.close()
        if self._open is not None:
            self._open.dispose()


class AwaitingPostgresql(AwaitingEngine):
    """Runs on asyncpg, each operation in a greenlet."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = self.place = server
        self._hot: AsyncEngine | None = None
        self._open: AsyncEngine | None = None
        self._lane = AwaitingLane(self._connect, server.hot_size, server.pool_timeout, server.recycle)
        self._budget = Budget()
        self._greenlets = GreenletPool()
        self._opening = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = False

    async def _connect(self) -> AsyncpgPort:
        assert self._hot is not None  # noqa: S101 - open() made it
        try:
            lent = await self._hot.raw_connection()
            driver = lent.driver_connection
            lent.detach()
        except Exception as error:  # the driver's own: raw_connection() wraps nothing
            raise self._server.dialect.translate(error) or error from error
        port = AsyncpgPort(driver, self._server)
        if not self._server.pooled:
            port.watch(self._server.deadlines)
        return port

    @override
    async def run(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        await self._ensure_open()
        self._budget.earn()
        attempts = Attempts(self._budget, keyed=is_keyed(scope, op))
        call = work(scope, op, args, kwargs)
        while True:
            try:
                if op.lane == "open":
                    async with self.transaction(scope) as transaction:
                        return await transaction.run(scope, op, *args, **kwargs)
                port = await self._lane.take()
                try:
                    return await self._greenlets.run(attempt, port, self._server, scope, op, call)
                finally:
                    self._lane.give(port)
            except UndercroftError as error:
                wait = attempts.delay(error)
                if wait is None:
                    raise attempts.outcome(error)  # noqa: B904 - most often the very same
                if isinstance(error, DatabaseUnavailable):
                    self._lane.forget_idle()
            await asyncio.sleep(wait)

    @override
    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncGenerator[Awaiting, None]:
        await self._ensure_open()
        assert self._open is not None  # noqa: S101 - open() made it
        with self._server.translated():
            connection = await self._open.connect()
        try:
            inner = await connection.run_sync(OpenTransaction, self._server, scope, AsyncpgPort)
            try:
                yield AwaitingTransaction(inner, greenlet_spawn)
                await greenlet_spawn(inner.commit)
            except Exception:
                raise
            except BaseException:
                inner.abandon()
                raise
            finally:
                await greenlet_spawn(functools.partial(inner.settle, closed=self._lane.closed))
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

    async def _ensure_open(self) -> None:
        if self._lane.closed:
            raise StoreClosed
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            message = "This AsyncStore belongs to another event loop."
            raise WrongColour(message, hint="open one in each event loop, and close it there")
        if not self._ready:
            await self.open()

    @override
    async def validate(self) -> tuple[int, int]:
        await self._ensure_open()
        tried, silent = await self._lane.validate(lambda port: greenlet_spawn(answers, port))
        more, replaced = await greenlet_spawn(validate, self._open and self._open.sync_engine)
        return tried + more, silent + replaced

    @override
    async def open(self) -> None:
        async with self._opening:
            if self._ready:
                return
            await asyncio.to_thread(self._server.check)
            watched = self._server.engine_arguments("asyncpg", watched=True)
            self._hot = create_async_engine(poolclass=NullPool, json_deserializer=orjson.loads, **watched)
            arguments = self._server.engine_arguments("asyncpg")
            self._open = create_async_engine(**self._server.open_pool, **arguments)
            self._server.attach(self._hot.dialect)
            with self._server.translated():
                async with self._hot.connect():
                    pass  # SQLAlchemy learns the server's version here, which compiling needs
            self._ready = True

    @override
    async def close(self) -> None:
        self._lane.close()
        if self._open is not None:
            await self._open.dispose()
