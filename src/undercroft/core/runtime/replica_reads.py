"""Reads that may go to a replica: asked of it for a limited time, and else left to the primary without a word."""

import abc
import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

import orjson
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only
from typing_extensions import override

from undercroft.core.operation import operation
from undercroft.core.runtime.asyncpg_port import AsyncpgPort
from undercroft.core.runtime.attempt import attempt
from undercroft.core.runtime.lanes import AwaitingLane, BlockingLane, Lane
from undercroft.core.runtime.replica import GRACE, CutPort, Watch
from undercroft.core.runtime.server import Server
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.errors import DatabaseUnavailable, UndercroftError

UNANSWERED: Final = object()
"""In place of an answer: the primary is to be asked."""


def _may_be_stale(scope: Scope, op: operation[..., Any]) -> bool:
    """Tell whether a call is a read of ours that decides over no right."""
    return scope.stale is not None and op.access in {"read", "point"} and op.lane == "hot" and not op.fresh


class ReplicaReads(abc.ABC):
    """Asks a replica; called in the caller's thread, or in a greenlet."""

    _lane: Lane

    def __init__(self, primary: Server, replica: Server) -> None:
        self._server = replica
        self.watch = Watch(primary, replica)
        self._patience = replica.deadlines.limit

    @abc.abstractmethod
    def open(self, primary: Server) -> None:
        """Make ready, without connecting; what the primary's dialect has compiled serves here too."""

    @abc.abstractmethod
    def _take(self) -> Any:
        """Borrow a connection."""

    def ask(self, scope: Scope, op: operation[..., Any], call: Callable[[Tx], Any]) -> Any:
        """Return the replica's answer, or UNANSWERED; whatever it refuses, the primary decides."""
        if not _may_be_stale(scope, op) or not self.watch.allows(scope.stale or 0):
            return UNANSWERED
        try:
            port = self._take()
            try:
                answer = attempt(port, self._server, scope, op, call, [])
            finally:
                self._lane.give(port)
        except UndercroftError as error:
            if self.watch.failed(error):
                self._lane.forget_idle()
            return UNANSWERED
        self.watch.answered()
        return answer

    def close(self) -> None:
        """Close every connection."""
        self.watch.close()
        self._lane.close()


class BlockingReplica(ReplicaReads):
    """Asks the replica of a Store."""

    _lane: BlockingLane

    def __init__(self, primary: Server, replica: Server) -> None:
        super().__init__(primary, replica)
        self._lane = BlockingLane(self._connect, replica.hot_size, self._patience, replica.recycle)
        self._engine: Engine | None = None

    @override
    def open(self, primary: Server) -> None:
        arguments = self._server.engine_arguments("psycopg")
        self._engine = create_engine(poolclass=NullPool, json_deserializer=orjson.loads, **arguments)
        self._server.attach(primary.dialect.sa)

    @override
    def _take(self) -> CutPort:
        port: CutPort = self._lane.take()
        return port

    def _connect(self) -> CutPort:
        """Connect in a thread that is not waited for longer than a read may take."""
        made: Future[CutPort] = Future()

        def connect() -> None:
            try:
                made.set_result(self._connected())
            except BaseException as error:  # noqa: BLE001 - raised by whoever waits
                made.set_exception(error)

        threading.Thread(target=connect, name="undercroft-connect", daemon=True).start()
        try:
            return made.result(self._patience)
        except BaseException as error:
            made.add_done_callback(_drop)
            if isinstance(error, TimeoutError):
                raise DatabaseUnavailable from error
            raise

    def _connected(self) -> CutPort:
        assert self._engine is not None  # noqa: S101 - open() made it
        try:
            lent = self._engine.raw_connection()
            driver: Any = lent.driver_connection
            lent.detach()
        except Exception as error:  # the driver's own: raw_connection() wraps nothing
            raise self._server.dialect.translate(error) or error from error
        driver.autocommit = True
        return CutPort(driver, self._server)


def _drop(made: "Future[CutPort]") -> None:
    if made.exception() is None:
        made.result().drop()


class AwaitingReplica(ReplicaReads):
    """Asks the replica of an AsyncStore."""

    _lane: AwaitingLane

    def __init__(self, primary: Server, replica: Server) -> None:
        super().__init__(primary, replica)
        self._lane = AwaitingLane(self._connect, replica.hot_size, self._patience, replica.recycle)
        self._engine: AsyncEngine | None = None

    @override
    def open(self, primary: Server) -> None:
        arguments = self._server.engine_arguments("asyncpg", watched=True)
        arguments["connect_args"].pop("command_timeout", None)  # it would wait for a cancellation
        self._engine = create_async_engine(poolclass=NullPool, json_deserializer=orjson.loads, **arguments)
        self._server.attach(primary.dialect.sa)

    @override
    def _take(self) -> AsyncpgPort:
        port: AsyncpgPort = self._lane.spare() or await_only(self._lane.take())
        return port

    async def _connect(self) -> AsyncpgPort:
        assert self._engine is not None  # noqa: S101 - open() made it
        try:
            async with asyncio.timeout(self._patience):
                lent = await self._engine.raw_connection()
            driver = lent.driver_connection
            lent.detach()
        except Exception as error:  # the driver's own: raw_connection() wraps nothing
            raise self._server.dialect.translate(error) or error from error
        port = AsyncpgPort(driver, self._server)
        port.watch(self._server.deadlines)
        port.limit = self._patience + GRACE
        return port
