"""What a slice asks of its runner, in both colours, and the parts that do not depend on the engine."""

import abc
import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only, greenlet_spawn

from undercroft.core.idempotency import refuse_key
from undercroft.core.runtime.gathering import Gatherings
from undercroft.core.scope import Scope
from undercroft.errors import WrongColour

if TYPE_CHECKING:
    from undercroft.core.operation import gathered, operation, procedure, resource, stream


class History(Protocol):
    """The schema's history, handed in by the store: the core runs migrations and knows none."""

    @property
    def head(self) -> str:
        """The newest revision."""

    def check(self, connection: Connection) -> None:
        """Raise SchemaMissing, SchemaOutdated or SchemaTooNew where the schema is not the one of this library."""

    def current(self, connection: Connection) -> str | None:
        """Tell the schema's revision."""

    def upgrade(self, connection: Connection, revision: str = "head") -> None:
        """Bring the schema to a revision, in one transaction."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A store's database as its settings and runner know it; the address carries no password, ``pool`` counts.

    ``pooled`` tells that the settings name a pooler in transaction mode, ``relayed`` that there is some pooler.
    """

    engine: str
    address: str
    head: str
    pool: dict[str, int]
    pooled: bool = False
    relayed: bool = False


class Ports(abc.ABC):
    """What a procedure may do: run operations, each in its own transaction, and call the outside world."""

    @abc.abstractmethod
    def run(self, op: "operation[..., Any]", *args: Any, **kwargs: Any) -> Any:
        """Run one operation of the same scope in a transaction of its own and return its result."""

    @abc.abstractmethod
    def within(self, scope: Scope) -> "Ports":
        """Return ports of another scope."""

    @property
    @abc.abstractmethod
    def facts(self) -> "Facts":
        """What is known of the database without asking it."""

    @abc.abstractmethod
    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call a caller's function; on an AsyncStore it may be a coroutine function."""

    @abc.abstractmethod
    def session(self, work: Callable[[Session], Any]) -> Any:
        """Run work in an ORM session of the same scope and return its result."""

    @abc.abstractmethod
    def validate(self) -> tuple[int, int]:
        """Try every idle connection and drop those that do not answer; returns how many were tried and dropped."""

    @abc.abstractmethod
    def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction; not inside a transaction."""


class Blocking(abc.ABC):
    """Runs declarations for a Store."""

    @property
    @abc.abstractmethod
    def facts(self) -> "Facts":
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
    def facts(self) -> "Facts":
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
        return _Held(contextmanager(res.fn)(_AwaitingPorts(self, scope), *args, **kwargs))

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


_leaving: set[asyncio.Future[Any]] = set()


class _Held(AbstractAsyncContextManager[Any, None]):
    """A blocking context manager entered and left in greenlets."""

    def __init__(self, manager: AbstractContextManager[Any, Any]) -> None:
        self._manager = manager

    async def __aenter__(self) -> Any:
        return await greenlet_spawn(self._manager.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        # In a task of its own: a cancellation that comes again while it leaves must not stop what it has to write.
        leaving = asyncio.ensure_future(greenlet_spawn(self._manager.__exit__, kind, error, trace))
        _leaving.add(leaving)  # the loop keeps only a weak reference
        leaving.add_done_callback(_leaving.discard)
        return await asyncio.shield(leaving)


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

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        assert isinstance(self._runner, AwaitingEngine)  # noqa: S101 - inside a transaction there is no such procedure
        return await_only(self._runner.administer(work))


class Place(Protocol):
    """Where a database is, whatever the colour: a server or a file."""

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision."""

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction."""


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
