"""A caller's own transaction: the same nouns, run on one connection until his block ends."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from typing_extensions import override

from undercroft.core.idempotency import work
from undercroft.core.operation import gathered, operation
from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.core.runtime.place import Facts
from undercroft.core.runtime.tenant_session import TenantSession
from undercroft.core.scope import Scope
from undercroft.core.tx import Tx
from undercroft.errors import StoreClosed

ENDED = "The transaction has ended."


class BlockingTransaction(Blocking):
    """Runs operations in an open transaction; a transaction inside it is a savepoint.

    ``foreign`` tells whether SQL of a caller's own has run in it.
    """

    def __init__(self, tx: Tx, facts: Facts, sqlalchemy: Callable[[], Connection]) -> None:
        super().__init__()
        self._tx: Tx | None = tx
        self.later = tx.later
        self._announced = tx.announced
        self.committed = tx.committed
        self.undone = []
        self._facts = facts
        self._sqlalchemy = sqlalchemy
        self._shown: Connection | None = None
        self._depth = 0
        self.foreign = False

    @override
    def run(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.foreign |= op.lane == "open"
        return work(scope, op, args, kwargs)(self.tx)

    @override
    def gather(self, scope: Scope, append: gathered[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if scope.idempotency_key is not None:
            return self.run(scope, append.keyed, *args, **kwargs)
        return append.check(self.run(scope, append.single, [append.fn(*args, **kwargs)])[0])

    @property
    @override
    def facts(self) -> Facts:
        return self._facts

    @property
    def tx(self) -> Tx:
        """The open transaction; raises StoreClosed after its end."""
        if self._tx is None:
            raise StoreClosed(ENDED)
        return self._tx

    def connection(self) -> Connection:
        """Show the transaction's connection as SQLAlchemy's."""
        self.tx  # noqa: B018 - refuses after the end
        self.foreign = True
        if self._shown is None:
            self._shown = self._sqlalchemy()
            if not self._shown.in_transaction():
                self._shown.begin()  # so that a session joins with a savepoint, and commits no more than that
        return self._shown

    def hide(self) -> None:
        """Close what `connection` showed, after the end; SQLAlchemy rolls back then what is ended already."""
        if self._shown is not None:
            self._shown.close()
            self._shown = None

    def end(self) -> None:
        """Refuse what comes later."""
        self._tx = None

    @override
    def validate(self) -> tuple[int, int]:
        self.tx.sql("SELECT 1")
        return 1, 0

    @override
    @contextmanager
    def transaction(self, scope: Scope) -> Generator[Blocking, None, None]:
        with self.savepoint():
            yield self

    @contextmanager
    def savepoint(self) -> Generator[None, None, None]:
        """Undo what the block did where it raises, and no more than that."""
        self._depth += 1
        name = f"undercroft_{self._depth}"
        announced = len(self._announced)
        self.tx.command(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            self.tx.command(f"ROLLBACK TO SAVEPOINT {name}")
            self.tx.command(f"RELEASE SAVEPOINT {name}")
            del self._announced[announced:]
            raise
        else:
            self.tx.command(f"RELEASE SAVEPOINT {name}")
        finally:
            self._depth -= 1

    @override
    @contextmanager
    def session(self, scope: Scope) -> Generator[Session, None, None]:
        with TenantSession(scope.tenant_id, self.connection(), self.tx.dialect) as session:
            yield session
            session.commit()


class AwaitingTransaction(Awaiting):
    """The same for an AsyncStore; tasks that share the transaction take turns on its connection."""

    def __init__(self, inner: BlockingTransaction, call: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        super().__init__()
        self.inner = inner
        self.undone = []
        self._call = call
        self._turn = asyncio.Lock()

    @override
    async def gather(self, scope: Scope, append: gathered[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if scope.idempotency_key is not None:
            return await self.run(scope, append.keyed, *args, **kwargs)
        return append.check((await self.run(scope, append.single, [append.fn(*args, **kwargs)]))[0])

    @property
    @override
    def facts(self) -> Facts:
        return self.inner.facts

    @override
    async def validate(self) -> tuple[int, int]:
        tried: tuple[int, int] = await self._in_turn(self.inner.validate)
        return tried

    async def _in_turn(self, fn: Callable[[], Any]) -> Any:
        async with self._turn:
            return await self._call(fn)

    @override
    async def run(self, scope: Scope, op: operation[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await self._in_turn(functools.partial(self.inner.run, scope, op, *args, **kwargs))

    @override
    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncGenerator[Awaiting, None]:
        block = self.inner.savepoint()
        await self._in_turn(block.__enter__)
        try:
            yield self
        except BaseException as error:
            await self._in_turn(functools.partial(block.__exit__, type(error), error, error.__traceback__))
            raise
        await self._in_turn(functools.partial(block.__exit__, None, None, None))

    @override
    @asynccontextmanager
    async def session(self, scope: Scope) -> AsyncGenerator[AsyncSession, None]:
        connection = await self._in_turn(self.inner.connection)

        def blocking(*, bind: None, binds: None) -> Session:  # noqa: ARG001 - an AsyncSession passes both
            return TenantSession(scope.tenant_id, connection, self.inner.tx.dialect)

        async with AsyncSession(sync_session_class=blocking) as session:  # type: ignore[arg-type]  # called only
            yield session
            await session.commit()
