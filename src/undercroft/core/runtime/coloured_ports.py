"""What a procedure asks of its runner, in both colours."""

import asyncio
import inspect
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only
from typing_extensions import override

from undercroft.core.runtime.background import in_task, in_thread
from undercroft.core.runtime.place import Facts
from undercroft.core.runtime.ports import Last, Ports, T, Undo, Work, keep
from undercroft.core.runtime.redis import Arguments, Link, Script
from undercroft.core.scope import Scope
from undercroft.core.seal.keyring import Keyring
from undercroft.errors import WrongColour

if TYPE_CHECKING:
    from undercroft.core.operation import operation
    from undercroft.core.runtime.base import Awaiting, Blocking


class BlockingPorts(Ports):
    """Called, in the caller's thread."""

    def __init__(self, runner: "Blocking", scope: Scope) -> None:
        self._runner = runner
        self._scope = scope

    @override
    def within(self, scope: Scope) -> Ports:
        return BlockingPorts(self._runner, scope)

    @property
    @override
    def facts(self) -> Facts:
        return self._runner.facts

    @property
    @override
    def keys(self) -> Keyring:
        engine: Any = self._runner
        keys: Keyring = engine.place.keys
        return keys

    @override
    def run(self, op: "operation[..., Any]", *args: Any, **kwargs: Any) -> Any:
        return self._runner.run(self._scope, op, *args, **kwargs)

    @override
    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        result = fn(*args)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise WrongColour
        return result

    @override
    def session(self, work: Callable[[Session], Any]) -> Any:
        with self._runner.session(self._scope) as session:
            return work(session)

    @override
    def validate(self) -> tuple[int, int]:
        return self._runner.validate()

    @override
    def kept(self, make: Callable[[], T], last: Last | None = None) -> T:
        return keep(self._runner, self._scope, make, last)

    @override
    def wait(self, future: "Future[T]") -> T:
        return future.result()

    @property
    @override
    def redis(self) -> Link | None:
        return self._runner.redis

    @override
    def script(self, script: Script, keys: Arguments, arguments: Arguments) -> Any:
        assert self._runner.redis is not None  # noqa: S101 - who asks has looked
        return self._runner.redis.run(script, keys, arguments)

    @override
    def undo(self, work: Undo) -> None:
        if self._runner.undone is not None:
            self._runner.undone.append(work)

    @override
    def background(self, work: Work) -> Callable[[], None]:
        return in_thread(work)

    @override
    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    @override
    def administer(self, work: Callable[[Connection], Any]) -> Any:
        engine: Any = self._runner  # inside a transaction there is no such procedure
        return engine.administer(work)


class AwaitingPorts(Ports):
    """Called in a greenlet, which waits on the event loop."""

    def __init__(self, runner: "Awaiting", scope: Scope) -> None:
        self._runner = runner
        self._scope = scope

    @override
    def within(self, scope: Scope) -> Ports:
        return AwaitingPorts(self._runner, scope)

    @property
    @override
    def facts(self) -> Facts:
        return self._runner.facts

    @property
    @override
    def keys(self) -> Keyring:
        engine: Any = self._runner
        keys: Keyring = engine.place.keys
        return keys

    @override
    def run(self, op: "operation[..., Any]", *args: Any, **kwargs: Any) -> Any:
        return self._runner.run_here(self._scope, op, *args, **kwargs)

    @override
    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        result = fn(*args)
        return await_only(result) if inspect.isawaitable(result) else result

    @override
    def session(self, work: Callable[[Session], Any]) -> Any:
        async def run() -> Any:
            async with self._runner.session(self._scope) as session:
                return await session.run_sync(work)

        return await_only(run())

    @override
    def validate(self) -> tuple[int, int]:
        return await_only(self._runner.validate())

    @override
    def kept(self, make: Callable[[], T], last: Last | None = None) -> T:
        return keep(self._runner, self._scope, make, last)

    @override
    def wait(self, future: "Future[T]") -> T:
        return await_only(asyncio.wrap_future(future))

    @property
    @override
    def redis(self) -> Link | None:
        return self._runner.redis

    @override
    def script(self, script: Script, keys: Arguments, arguments: Arguments) -> Any:
        assert self._runner.redis is not None  # noqa: S101 - who asks has looked
        return await_only(self._runner.redis.run(script, keys, arguments))

    @override
    def undo(self, work: Undo) -> None:
        if self._runner.undone is not None:
            self._runner.undone.append(work)

    @override
    def background(self, work: Work) -> Callable[[], None]:
        return in_task(work)

    @override
    def sleep(self, seconds: float) -> None:
        await_only(asyncio.sleep(seconds))

    @override
    def administer(self, work: Callable[[Connection], Any]) -> Any:
        engine: Any = self._runner  # inside a transaction there is no such procedure
        return await_only(engine.administer(work))
