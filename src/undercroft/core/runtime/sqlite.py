"""Running operations on a SQLite file: blocking in the caller's thread, awaiting in a thread that owns the writes."""

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from typing_extensions import override

from undercroft.core.idempotency import work
from undercroft.core.operation import operation
from undercroft.core.runtime.base import Awaiting, AwaitingEngine, Blocking, BlockingEngine
from undercroft.core.runtime.place import Facts
from undercroft.core.runtime.sqlite_file import SqliteFile
from undercroft.core.runtime.sqlite_writer import Writer
from undercroft.core.runtime.transaction import AwaitingTransaction
from undercroft.core.scope import Scope
from undercroft.errors import LockTimeout, PoolTimeout, StoreClosed

READERS = 4


def _taken() -> PoolTimeout:
    message = "Another call did not end its turn at writing in time."
    hint = "inside a transaction call tx and not the tenant; else look for one that is kept open"
    return PoolTimeout(message, hint=hint)


class BlockingSqlite(BlockingEngine):
    """Runs in the caller's thread; threads of one store take turns at writing."""

    def __init__(self, file: SqliteFile, *, migrate: bool, patience: float) -> None:
        super().__init__()
        self._file = self.place = file
        self._migrate = migrate
        self._patience = patience
        self._writing = threading.Lock()

    @contextmanager
    def _turn(self) -> Generator[None, None, None]:
        """Be the one who writes; raises PoolTimeout where another one does not end, this very thread maybe."""
        if not self._writing.acquire(timeout=self._patience):
            raise _taken()
        try:
            yield
        finally:
            self._writing.release()

    @override
    def run(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not self._file.is_open:
            self.open()
        call = work(scope, op, args, kwargs)
        if op.access in {"read", "point"}:
            return self._file.read(scope, call)
        with self._turn():
            return self._file.write(scope, call)

    @override
    @contextmanager
    def transaction(self, scope: Scope) -> Generator["Blocking", None, None]:
        if not self._file.is_open:
            self.open()
        with self._turn():
            transaction = self._file.begin_transaction(scope)
            try:
                yield transaction
                self._file.commit_transaction(transaction)
            finally:
                transaction.end()
                transaction.hide()
                self._file.abandon_transaction()

    @property
    @override
    def facts(self) -> Facts:
        return self._file.facts

    @override
    def validate(self) -> tuple[int, int]:
        return self._file.validate()

    @override
    def open(self) -> None:
        self._file.open(migrate=self._migrate)

    @override
    def close(self) -> None:
        self._file.listener.close()
        with self._turn():
            self._file.close()

    @override
    @contextmanager
    def session(self, scope: Scope) -> Generator[Session, None, None]:
        with self.transaction(scope) as transaction, transaction.session(scope) as session:
            yield session


class AwaitingSqlite(AwaitingEngine):
    """Writes in one thread that shares commits, reads in a few; a point read runs on the loop if nothing blocks it."""

    _together = True

    def __init__(self, file: SqliteFile, *, migrate: bool, patience: float) -> None:
        super().__init__()
        self._file = self.place = file
        self._migrate = migrate
        self._patience = patience
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="undercroft-reader")
        self._writer: Writer | None = None

    @override
    async def run(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not self._file.is_open:
            await self.open()
        call = work(scope, op, args, kwargs)
        if op.access == "point":
            try:
                return self._file.read_at_once(scope, call)
            except LockTimeout:  # a checkpoint or recovery is under way: wait for it in a thread
                pass
        if op.access in {"read", "point"}:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._readers, self._file.read, scope, call)
        return await self._in_turn(self._thread().submit(scope, call))

    async def _in_turn(self, queued: Future[Any]) -> Any:
        """Wait for what the writer's thread was asked to do; raises PoolTimeout where it does not begin in time."""
        limit = asyncio.get_running_loop().call_later(self._patience, queued.cancel)
        try:
            return await asyncio.wrap_future(queued)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _taken() from None
        finally:
            limit.cancel()

    def _thread(self) -> Writer:
        if self._file.closed:
            raise StoreClosed
        if self._writer is None:
            self._writer = Writer(self._file)
        return self._writer

    @override
    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncGenerator[Awaiting, None]:
        if not self._file.is_open:
            await self.open()
        # The lease ends with a rollback of what is still open: a cancelled task leaves nothing behind, whenever it was.
        lease = self._thread().lease(self._file.abandon_transaction)

        async def call(fn: Callable[[], Any]) -> Any:
            return await asyncio.wrap_future(lease.call(fn))

        try:
            inner = await self._in_turn(lease.call(functools.partial(self._file.begin_transaction, scope)))
            try:
                yield AwaitingTransaction(inner, call)
                await call(functools.partial(self._file.commit_transaction, inner))
            finally:
                inner.end()
                await asyncio.shield(call(inner.hide))
        finally:
            lease.end()

    @override
    @asynccontextmanager
    async def session(self, scope: Scope) -> AsyncGenerator[AsyncSession, None]:
        async with self.transaction(scope) as transaction, transaction.session(scope) as session:
            yield session

    @property
    @override
    def facts(self) -> Facts:
        return self._file.facts

    @override
    async def validate(self) -> tuple[int, int]:
        return self._file.validate()

    @override
    async def open(self) -> None:
        await asyncio.to_thread(self._file.open, migrate=self._migrate)

    @override
    async def close(self) -> None:
        await asyncio.to_thread(self._file.listener.close)
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.to_thread(writer.close)
        self._readers.shutdown(wait=False)
        self._file.close()
