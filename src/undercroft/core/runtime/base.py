"""What a slice asks of its runner, in both colours, and the parts that do not depend on the engine."""

import abc
import asyncio
import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only, greenlet_spawn

from undercroft.core.idempotency import refuse_key
from undercroft.core.runtime.gathering import Gatherings
from undercroft.core.runtime.held import Held
from undercroft.core.runtime.place import Facts, Place
from undercroft.core.runtime.ports import Ports, T, keep
from undercroft.core.scope import Scope
from undercroft.errors import WrongColour

if TYPE_CHECKING:
    from undercroft.core.operation import gathered, operation, procedure, resource, stream

__all__ = ["Awaiting", "AwaitingEngine", "Blocking", "BlockingEngine", "Ports"]


class Blocking(abc.ABC):
    """Runs declarations for a Store."""

    @property
    @abc.abstractmethod
    def facts(self) -> Facts:
        """What is known of the database without asking it."""

    @abc.abstractmethod
    def run(self, scope: Scope, op: "operation[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation to its commit and return its result."""

    @abc.abstractmethod
    def transaction(self, scope: Scope) -> "AbstractContextManager[Blocking]":
        """Open a transaction whose runner runs everything in it; inside another one, a savepoint."""

    @abc.abstractmethod
    def session(self, scope: Scope) -> AbstractContextManager[Session]:
        """Open an ORM session in a transaction, committed at the end of the block."""

    @abc.abstractmethod
    def validate(self) -> tuple[int, int]:
        """Try every idle connection and drop those that do not answer; returns how many were tried and dropped."""

    def gather(self, scope: Scope, append: "gathered[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Append one item."""
        if scope.idempotency_key is not None:
            return self.run(scope, append.keyed, *args, **kwargs)
        return self.run(scope, append.single, [append.fn(*args, **kwargs)])[0]

    def proceed(self, scope: Scope, proc: "procedure[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Run a procedure."""
        refuse_key(scope)
        return proc.fn(_BlockingPorts(self, scope), *args, **kwargs)

    @contextmanager
    def hold(self, scope: Scope, res: "resource[..., Any]", /, *args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        """Enter a resource."""
        refuse_key(scope)
        with contextmanager(res.fn)(_BlockingPorts(self, scope), *args, **kwargs) as held:
            yield held

    def iterate(self, scope: Scope, pages: "stream[..., Any]", /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Yield the items of a stream, one transaction a page."""
        after = None
        while True:
            page = self.run(scope, pages, after, *args, **kwargs)  # type: ignore[arg-type]  # a page is an operation
            yield from page.items
            after = page.after
            if after is None:
                return


class Awaiting(abc.ABC):
    """Runs declarations for an AsyncStore."""

    def __init__(self) -> None:
        self._gatherings = Gatherings()

    @property
    @abc.abstractmethod
    def facts(self) -> Facts:
        """What is known of the database without asking it."""

    @abc.abstractmethod
    async def run(self, scope: Scope, op: "operation[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation to its commit and return its result."""

    @abc.abstractmethod
    def transaction(self, scope: Scope) -> "AbstractAsyncContextManager[Awaiting]":
        """Open a transaction whose runner runs everything in it; inside another one, a savepoint."""

    @abc.abstractmethod
    def session(self, scope: Scope) -> AbstractAsyncContextManager[AsyncSession]:
        """Open an ORM session in a transaction, committed at the end of the block."""

    @abc.abstractmethod
    async def validate(self) -> tuple[int, int]:
        """Try every idle connection and drop those that do not answer; returns how many were tried and dropped."""

    async def gather(self, scope: Scope, append: "gathered[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Append one item, together with those that come while the statement before is under way."""
        if scope.idempotency_key is not None:
            return await self.run(scope, append.keyed, *args, **kwargs)
        return await self._gatherings.add(scope, append, append.fn(*args, **kwargs), self.run)

    async def proceed(self, scope: Scope, proc: "procedure[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Run a procedure in a greenlet, whose ports wait on the event loop."""
        refuse_key(scope)
        return await greenlet_spawn(functools.partial(proc.fn, _AwaitingPorts(self, scope), *args, **kwargs))

    def hold(
        self, scope: Scope, res: "resource[..., Any]", /, *args: Any, **kwargs: Any
    ) -> AbstractAsyncContextManager[Any, None]:
        """Enter a resource; each half of its generator runs in a greenlet."""
        refuse_key(scope)
        return Held(contextmanager(res.fn)(_AwaitingPorts(self, scope), *args, **kwargs))

    async def iterate(
        self, scope: Scope, pages: "stream[..., Any]", /, *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield the items of a stream, one transaction a page."""
        after = None
        while True:
            page = await self.run(scope, pages, after, *args, **kwargs)  # type: ignore[arg-type]  # a page is an operation
            for item in page.items:
                yield item
            after = page.after
            if after is None:
                return


class _BlockingPorts(Ports):
    def __init__(self, runner: Blocking, scope: Scope) -> None:
        self._runner = runner
        self._scope = scope

    def within(self, scope: Scope) -> Ports:
        return _BlockingPorts(self._runner, scope)

    @property
    def facts(self) -> Facts:
        return self._runner.facts

    def run(self, op: "operation[..., Any]", *args: Any, **kwargs: Any) -> Any:
        return self._runner.run(self._scope, op, *args, **kwargs)

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        result = fn(*args)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise WrongColour
        return result

    def session(self, work: Callable[[Session], Any]) -> Any:
        with self._runner.session(self._scope) as session:
            return work(session)

    def validate(self) -> tuple[int, int]:
        return self._runner.validate()

    def kept(self, make: Callable[[], T]) -> T:
        return keep(self._runner, self._scope, make)

    def wait(self, future: "Future[T]") -> T:
        return future.result()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        assert isinstance(self._runner, BlockingEngine)  # noqa: S101 - inside a transaction there is no such procedure
        return self._runner.administer(work)


class _AwaitingPorts(Ports):
    def __init__(self, runner: Awaiting, scope: Scope) -> None:
        self._runner = runner
        self._scope = scope

    def within(self, scope: Scope) -> Ports:
        return _AwaitingPorts(self._runner, scope)

    @property
    def facts(self) -> Facts:
        return self._runner.facts

    def run(self, op: "operation[..., Any]", *args: Any, **kwargs: Any) -> Any:
        return await_only(self._runner.run(self._scope, op, *args, **kwargs))

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        result = fn(*args)
        return await_only(result) if inspect.isawaitable(result) else result

    def session(self, work: Callable[[Session], Any]) -> Any:
        async def run() -> Any:
            async with self._runner.session(self._scope) as session:
                return await session.run_sync(work)

        return await_only(run())

    def validate(self) -> tuple[int, int]:
        return await_only(self._runner.validate())

    def kept(self, make: Callable[[], T]) -> T:
        return keep(self._runner, self._scope, make)

    def wait(self, future: "Future[T]") -> T:
        return await_only(asyncio.wrap_future(future))

    def sleep(self, seconds: float) -> None:
        await_only(asyncio.sleep(seconds))

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        assert isinstance(self._runner, AwaitingEngine)  # noqa: S101 - inside a transaction there is no such procedure
        return await_only(self._runner.administer(work))


class BlockingEngine(Blocking):
    """A runner that owns connections."""

    place: Place

    @abc.abstractmethod
    def open(self) -> None:
        """Connect and make sure, once, that the schema is the one this library knows."""

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision."""
        self.place.migrate(revision)

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction."""
        return self.place.administer(work)

    @abc.abstractmethod
    def close(self) -> None:
        """Close every connection."""


class AwaitingEngine(Awaiting):
    """A runner that owns connections."""

    place: Place

    @abc.abstractmethod
    async def open(self) -> None:
        """Connect and make sure, once, that the schema is the one this library knows."""

    async def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision."""
        await asyncio.to_thread(self.place.migrate, revision)

    async def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction."""
        return await asyncio.to_thread(self.place.administer, work)

    @abc.abstractmethod
    async def close(self) -> None:
        """Close every connection."""
