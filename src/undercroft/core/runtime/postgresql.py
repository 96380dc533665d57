"""Running operations on PostgreSQL for a Store; `postgresql_async` does so for an AsyncStore.

The hot lane runs our own operations on connections of its own. A caller's transaction or session takes the open lane: a
connection of SQLAlchemy's pool, reset on return, so that nothing a caller sets ever meets our operations.
"""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from typing_extensions import override

from undercroft.core.operation import gathered, operation
from undercroft.core.runtime.base import Blocking, BlockingEngine
from undercroft.core.runtime.hot_lane import HotLane
from undercroft.core.runtime.lanes import BlockingLane
from undercroft.core.runtime.postgresql_open import OpenTransaction, answers, validate
from undercroft.core.runtime.postgresql_ports import PsycopgPort
from undercroft.core.runtime.replica_reads import BlockingReplica
from undercroft.core.runtime.server import Server
from undercroft.core.scope import Scope
from undercroft.errors import StoreClosed


class BlockingPostgresql(HotLane, BlockingEngine):
    """Runs on psycopg in the caller's thread."""

    _replica_type = BlockingReplica
    _lane: BlockingLane

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._hot: Engine | None = None
        self._open: Engine | None = None
        self._lane = BlockingLane(self._connect, server.hot_size, server.pool_timeout, server.recycle)
        self._opening = threading.Lock()

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
        return self._try(scope, op, *args, **kwargs)

    @override
    def _take(self) -> PsycopgPort:
        port: PsycopgPort = self._lane.take()
        return port

    @override
    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @override
    def _run_openly(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        with self.transaction(scope) as transaction:
            return transaction.run(scope, op, *args, **kwargs)

    @override
    def _follow(self, scope: Scope, later: list[gathered[[], Any]]) -> None:
        self.follow(scope, later)

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
        self.follow(scope, transaction.later)

    @override
    @contextmanager
    def session(self, scope: Scope) -> Generator[Session, None, None]:
        with self.transaction(scope) as transaction, transaction.session(scope) as session:
            yield session

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
            if self._replica is not None:
                self._replica.open(self._server)
            self._ready = True

    @override
    def close(self) -> None:
        self._server.listener.close()
        self._lane.close()
        if self._replica is not None:
            self._replica.close()
        if self._open is not None:
            self._open.dispose()
