"""The open lane: a caller's own transaction on a connection of SQLAlchemy's pool, which others must find clean."""

import asyncio
from contextlib import ExitStack, suppress

from sqlalchemy import Connection, Engine, Pool, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from undercroft.core.runtime.postgresql_ports import PostgresqlPort, answer_lost
from undercroft.core.runtime.server import Server
from undercroft.core.runtime.transaction import BlockingTransaction
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.errors import CommitUnknown, UndercroftError

_LEFT: set[asyncio.Task[None]] = set()
"""Connections that are still made though nobody waits for them: a loop keeps only weak references."""


async def borrowed(engine: AsyncEngine) -> AsyncConnection:
    """Borrow a connection; whoever is cancelled while it is made leaves it to those who wait for one.

    SQLAlchemy's pool wakes nobody when a connection is not made after all: all would wait until their time is up, with
    no connection open at all.
    """
    pool = engine.sync_engine.pool
    if pool.checkedin():  # type: ignore[attr-defined]  # a QueuePool
        return await engine.connect()
    making = asyncio.create_task(_made(engine))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        left = asyncio.create_task(_give_back(making, engine, pool))
        _LEFT.add(left)
        left.add_done_callback(_LEFT.discard)
        raise


async def _made(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


async def _give_back(making: asyncio.Task[AsyncConnection], engine: AsyncEngine, pool: Pool) -> None:
    with suppress(Exception):  # nobody waits who could be told of it
        connection = await making
        if engine.sync_engine.pool is not pool:  # disposed of meanwhile: the old one would keep it
            await connection.invalidate()
        await connection.close()


class OpenTransaction(BlockingTransaction):
    """A caller's transaction; written without an await, an AsyncStore runs each step in a greenlet."""

    def __init__(self, connection: Connection, server: Server, scope: Scope, port_type: type[PostgresqlPort]) -> None:
        self._connection = connection
        self._server = server
        self._port = port_type(connection.connection.driver_connection, server)
        tx = Tx(self._port, server.dialect, scope.tenant_id, scope.tenant_name, keys=server.keys)
        super().__init__(tx, server.facts({}), lambda: connection)
        # The first statement goes through SQLAlchemy, so that SQLAlchemy knows that a transaction began.
        try:
            for command in server.dialect.begin(scope, privileged=server.privileged).split("; ")[1:] or ["SELECT 1"]:
                self._port.timed(lambda sql, _: connection.exec_driver_sql(sql), command, ())
            if (sealed := server.dialect.sealed(scope)) is not None:
                self._port.timed(connection.exec_driver_sql, *sealed)
        except UndercroftError as error:
            error.context.setdefault("tenant", scope.tenant_name)
            self.settle()
            raise

    def commit(self) -> None:
        """Commit; raises CommitUnknown where the answer was lost, DatabaseError where a failure has undone it all."""
        self.end()
        self._port.refuse_undone()
        try:
            self._port.timed(lambda *_: self._connection.commit(), "COMMIT", ())
        except BaseException as error:
            self.committed(self._server.memory, surely=False)
            if not isinstance(error, UndercroftError) or not answer_lost(error):
                raise
            self._port.spoil()
            raise CommitUnknown from error
        self.committed(self._server.memory)

    def abandon(self) -> None:
        """Give the connection up: whoever used it was interrupted, perhaps in the middle of an exchange."""
        self._port.spoil()

    def settle(self, *, closed: bool = False) -> None:
        """End what is not ended, and give the connection back as if nobody had used it, or not at all."""
        self.end()
        try:
            if self._port.unsettled:
                self._port.rollback()  # within a limit, which SQLAlchemy's has not
            if self._port.alive:
                self._port.timed(lambda *_: self._connection.rollback(), "ROLLBACK", ())
                if self.foreign and not self._server.pooled:
                    self._port.reset()
        except (UndercroftError, SQLAlchemyError, OSError):
            self._port.spoil()
        if closed or not self._port.alive:  # a pool that was closed would keep it
            self._connection.invalidate()


def answers(port: PostgresqlPort) -> bool:
    """Ask the server for a sign of life of a connection that nobody uses, and spoil it where there is none."""
    try:
        port.execute("SELECT 1", ())
    except UndercroftError:
        port.spoil()
    return port.alive


def validate(engine: Engine | None) -> tuple[int, int]:
    """Try every idle connection of a pool and replace those that do not answer; returns how many of each."""
    assert engine is not None  # noqa: S101 - open() of the runner made it
    replaced: list[object] = []

    def note(*about: object) -> None:
        replaced.append(about)

    event.listen(engine.pool, "invalidate", note)
    tried = 0
    try:
        with ExitStack() as lent:
            for _ in range(engine.pool.checkedin()):  # type: ignore[attr-defined]  # a QueuePool
                connection = lent.enter_context(engine.connect())
                tried += 1
                try:
                    connection.exec_driver_sql("SELECT 1")
                except (SQLAlchemyError, OSError):
                    connection.invalidate()
    except (SQLAlchemyError, OSError):
        pass  # the server is away: what was found broken is dropped, and nothing replaces it yet
    finally:
        event.remove(engine.pool, "invalidate", note)
    return tried, len(replaced)
