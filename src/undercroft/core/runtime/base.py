"""What a slice asks of its runner, in both colours, and the parts that do not depend on the engine."""

import abc
import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only
from typing_extensions import override

from undercroft.core.idempotency import refuse_key
from undercroft.core.runtime import feeding, recall
from undercroft.core.runtime.coloured_ports import AwaitingPorts, BlockingPorts
from undercroft.core.runtime.gathering import BlockingGatherings, Gatherings, note_left
from undercroft.core.runtime.greenlets import spawn
from undercroft.core.runtime.held import Held
from undercroft.core.runtime.place import Facts, Place
from undercroft.core.runtime.ports import Ports, Undo, last_of
from undercroft.core.runtime.redis import AwaitingRedis, BlockingRedis
from undercroft.core.scope import Scope
from undercroft.errors import UndercroftError

if TYPE_CHECKING:
    from undercroft.core.live import feed, remembered
    from undercroft.core.operation import gathered, operation, procedure, resource, stream

__all__ = ["Awaiting", "AwaitingEngine", "Blocking", "BlockingEngine", "Ports"]


class Blocking(abc.ABC):
    """Runs declarations for a Store."""

    redis: BlockingRedis | None = None
    """The store's Redis, where something is kept in one."""
    undone: list[Undo] | None = None
    """What is made good if it is rolled back, where this is a transaction."""

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

    @abc.abstractmethod
    def gather(self, scope: Scope, append: "gathered[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Append one item, together with those of threads that come while the statement before is under way."""

    def follow(self, scope: Scope, later: "list[gathered[[], Any]]") -> None:
        """Run what a transaction wanted run once it was durable."""
        scope = replace(scope, idempotency_key=None)
        for append in dict.fromkeys(later):
            try:
                self.gather(scope, append)
            except UndercroftError as error:
                note_left(append, error)

    def proceed(self, scope: Scope, proc: "procedure[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Run a procedure."""
        refuse_key(scope)
        return proc.fn(BlockingPorts(self, scope.fresh), *args, **kwargs)

    @contextmanager
    def hold(self, scope: Scope, res: "resource[..., Any]", /, *args: Any, **kwargs: Any) -> Generator[Any, None, None]:
        """Enter a resource."""
        refuse_key(scope)
        with contextmanager(res.fn)(BlockingPorts(self, scope.fresh), *args, **kwargs) as held:
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

    def recalling(self, scope: Scope, asked: "remembered[..., Any]") -> Callable[..., Any]:
        """Return a call of a remembered read; in a transaction nothing is remembered."""
        return functools.partial(self.run, scope, asked)  # type: ignore[arg-type]  # it is an operation as well

    def attend(self, scope: Scope, watched: "feed[..., Any]", /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Yield what a feed gives; in a transaction there is none."""
        del scope, watched, args, kwargs
        raise feeding.refuse_in_transaction()


class Awaiting(abc.ABC):
    """Runs declarations for an AsyncStore."""

    redis: AwaitingRedis | None = None
    undone: list[Undo] | None = None

    @property
    @abc.abstractmethod
    def facts(self) -> Facts:
        """What is known of the database without asking it."""

    @abc.abstractmethod
    async def run(self, scope: Scope, op: "operation[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation to its commit and return its result."""

    def run_here(self, scope: Scope, op: "operation[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Do so for a caller who is in a greenlet, which waits."""
        return await_only(self.run(scope, op, *args, **kwargs))

    @abc.abstractmethod
    def transaction(self, scope: Scope) -> "AbstractAsyncContextManager[Awaiting]":
        """Open a transaction whose runner runs everything in it; inside another one, a savepoint."""

    @abc.abstractmethod
    def session(self, scope: Scope) -> AbstractAsyncContextManager[AsyncSession]:
        """Open an ORM session in a transaction, committed at the end of the block."""

    @abc.abstractmethod
    async def validate(self) -> tuple[int, int]:
        """Try every idle connection and drop those that do not answer; returns how many were tried and dropped."""

    @abc.abstractmethod
    async def gather(self, scope: Scope, append: "gathered[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Append one item, together with those that come while the statement before is under way."""

    async def follow(self, scope: Scope, later: "list[gathered[[], Any]]") -> None:
        """Run what a transaction wanted run once it was durable."""
        scope = replace(scope, idempotency_key=None)
        for append in dict.fromkeys(later):
            try:
                await self.gather(scope, append)
            except UndercroftError as error:
                note_left(append, error)

    async def proceed(self, scope: Scope, proc: "procedure[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        """Run a procedure in a greenlet, whose ports wait on the event loop."""
        refuse_key(scope)
        return await spawn(functools.partial(proc.fn, AwaitingPorts(self, scope.fresh), *args, **kwargs))

    def hold(
        self, scope: Scope, res: "resource[..., Any]", /, *args: Any, **kwargs: Any
    ) -> AbstractAsyncContextManager[Any, None]:
        """Enter a resource; each half of its generator runs in a greenlet."""
        refuse_key(scope)
        return Held(contextmanager(res.fn)(AwaitingPorts(self, scope.fresh), *args, **kwargs))

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

    def recalling(self, scope: Scope, asked: "remembered[..., Any]") -> Callable[..., Any]:
        """Return a call of a remembered read; in a transaction nothing is remembered."""
        return functools.partial(self.run, scope, asked)  # type: ignore[arg-type]  # it is an operation as well

    def attend(self, scope: Scope, watched: "feed[..., Any]", /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Yield what a feed gives; in a transaction there is none."""
        del scope, watched, args, kwargs
        raise feeding.refuse_in_transaction()


class BlockingEngine(Blocking):
    """A runner that owns connections."""

    place: Place

    def __init__(self) -> None:
        self.gatherings = BlockingGatherings()

    @override
    def gather(self, scope: Scope, append: "gathered[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        if scope.idempotency_key is not None:
            return self.run(scope, append.keyed, *args, **kwargs)
        item = append.item(scope, self.place, args, kwargs)
        store = functools.partial(self._store, scope, append)
        return append.check(self.gatherings.add(append.key(scope, item), item, store))

    def _store(self, scope: Scope, append: "gathered[..., Any]", items: list[Any]) -> Sequence[Any]:
        stored: Sequence[Any] = self.run(scope, append.single if len(items) == 1 else append.many, items)
        return stored

    @override
    def recalling(self, scope: Scope, asked: "remembered[..., Any]") -> Callable[..., Any]:
        return recall.blocking(self, scope, asked) if recall.is_remembered(scope) else super().recalling(scope, asked)

    @override
    def attend(self, scope: Scope, watched: "feed[..., Any]", /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        refuse_key(scope)
        return feeding.blocking(self, scope.fresh, watched, args, kwargs)

    @abc.abstractmethod
    def open(self) -> None:
        """Connect and make sure, once, that the schema is the one this library knows."""

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision."""
        self.place.migrate(revision)

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction."""
        return self.place.administer(work)

    def finish(self) -> None:
        """Do what was left for the end, of which a database that is gone loses its part; ends with Redis."""
        for scope, last in last_of(self):
            with suppress(UndercroftError):
                last(BlockingPorts(self, scope))
        if self.redis is not None:
            self.redis.close()

    @abc.abstractmethod
    def close(self) -> None:
        """Close every connection."""


class AwaitingEngine(Awaiting):
    """A runner that owns connections."""

    _together: ClassVar[bool] = False
    """How its appends are gathered."""
    place: Place

    def __init__(self) -> None:
        self.gatherings = Gatherings(together=self._together)

    @override
    async def gather(self, scope: Scope, append: "gathered[..., Any]", /, *args: Any, **kwargs: Any) -> Any:
        if scope.idempotency_key is not None:
            return await self.run(scope, append.keyed, *args, **kwargs)
        item = append.item(scope, self.place, args, kwargs)
        store = functools.partial(self._store, scope, append)
        return append.check(await self.gatherings.add(append.key(scope, item), item, store))

    def _store(self, scope: Scope, append: "gathered[..., Any]", items: list[Any]) -> Awaitable[Sequence[Any]]:
        return self.run(scope, append.single if len(items) == 1 else append.many, items)

    @override
    def recalling(self, scope: Scope, asked: "remembered[..., Any]") -> Callable[..., Any]:
        return recall.awaiting(self, scope, asked) if recall.is_remembered(scope) else super().recalling(scope, asked)

    @override
    def attend(self, scope: Scope, watched: "feed[..., Any]", /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        refuse_key(scope)
        return feeding.awaiting(self, scope.fresh, watched, args, kwargs)

    @abc.abstractmethod
    async def open(self) -> None:
        """Connect and make sure, once, that the schema is the one this library knows."""

    async def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision."""
        await asyncio.to_thread(self.place.migrate, revision)

    async def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction."""
        return await asyncio.to_thread(self.place.administer, work)

    async def finish(self) -> None:
        """Do what was left for the end, of which a database that is gone loses its part; ends with Redis."""
        for scope, last in last_of(self):
            with suppress(UndercroftError):
                await spawn(last, AwaitingPorts(self, scope))
        if self.redis is not None:
            self.redis.close()

    @abc.abstractmethod
    async def close(self) -> None:
        """Close every connection."""
