"""Running operations on PostgreSQL for an AsyncStore, in the two lanes of `postgresql`."""

import asyncio
import functools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only
from typing_extensions import override

from undercroft.core.operation import gathered, operation
from undercroft.core.runtime.asyncpg_port import AsyncpgPort
from undercroft.core.runtime.base import Awaiting, AwaitingEngine
from undercroft.core.runtime.greenlets import spawn
from undercroft.core.runtime.hot_lane import HotLane
from undercroft.core.runtime.lanes import AwaitingLane
from undercroft.core.runtime.postgresql_open import OpenTransaction, answers, borrowed, validate
from undercroft.core.runtime.replica_reads import AwaitingReplica
from undercroft.core.runtime.server import Server
from undercroft.core.runtime.sharing import SharingPort
from undercroft.core.runtime.transaction import AwaitingTransaction
from undercroft.core.scope import Scope
from undercroft.errors import StoreClosed, WrongColour


class AwaitingPostgresql(HotLane, AwaitingEngine):
    """Runs on asyncpg, each operation in a greenlet."""

    _replica_type = AwaitingReplica
    _lane: AwaitingLane

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._hot: AsyncEngine | None = None
        self._open: AsyncEngine | None = None
        self._lane = AwaitingLane(self._connect, server.hot_size, server.pool_timeout, server.recycle)
        self._sharing = SharingPort(self._lane)
        self._opening = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def _connect(self) -> AsyncpgPort:
        assert self._hot is not None  # noqa: S101 - open() made it
        try:
            lent = await self._hot.raw_connection()
            driver: Any = lent.driver_connection
            lent.detach()
            # SQLAlchemy's codec takes three steps of Python for a value, this one none.
            await driver.set_type_codec("jsonb", encoder=str, decoder=orjson.loads, schema="pg_catalog")
        except Exception as error:  # the driver's own: raw_connection() wraps nothing
            raise self._server.dialect.translate(error) or error from error
        port = AsyncpgPort(driver, self._server)
        if not self._server.pooled:
            port.watch(self._server.deadlines)
        return port

    @override
    async def run(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not self._ready or self._lane.closed or self._loop is not asyncio.get_running_loop():
            await self._ensure_open()
        return await spawn(functools.partial(self._try, scope, op, *args, **kwargs))

    @override
    def run_here(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not self._ready or self._lane.closed or self._loop is not asyncio.get_running_loop():
            await_only(self._ensure_open())
        return self._try(scope, op, *args, **kwargs)

    @override
    def _take(self) -> AsyncpgPort:
        port: AsyncpgPort = self._lane.spare() or await_only(self._lane.take())
        return port

    @override
    def _sleep(self, seconds: float) -> None:
        await_only(asyncio.sleep(seconds))

    @override
    def _run_openly(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            async with self.transaction(scope) as transaction:
                return await transaction.run(scope, op, *args, **kwargs)

        return await_only(run())

    @override
    def _follow(self, scope: Scope, later: list[gathered[[], Any]]) -> None:
        await_only(self.follow(scope, later))

    @override
    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncGenerator[Awaiting, None]:
        await self._ensure_open()
        assert self._open is not None  # noqa: S101 - open() made it
        with self._server.translated():
            connection = await borrowed(self._open)
        try:
            inner = await connection.run_sync(OpenTransaction, self._server, scope, AsyncpgPort)
            try:
                yield AwaitingTransaction(inner, spawn)
                await spawn(inner.commit)
            except Exception:
                raise
            except BaseException:
                inner.abandon()
                raise
            finally:
                await spawn(functools.partial(inner.settle, closed=self._lane.closed))
        finally:
            await connection.close()
        await self.follow(scope, inner.later)

    @override
    @asynccontextmanager
    async def session(self, scope: Scope) -> AsyncGenerator[AsyncSession, None]:
        async with self.transaction(scope) as transaction, transaction.session(scope) as session:
            yield session

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
        tried, silent = await self._lane.validate(lambda port: spawn(answers, port))
        more, replaced = await spawn(validate, self._open and self._open.sync_engine)
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
            if self._replica is not None:
                self._replica.open(self._server)
            self._ready = True

    @override
    async def close(self) -> None:
        await asyncio.to_thread(self._server.listener.close)
        self._lane.close()
        if self._replica is not None:
            self._replica.close()
        if self._open is not None:
            await self._open.dispose()
