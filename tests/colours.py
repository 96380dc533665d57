"""One contract suite for both colours: an asynchronous object driven from blocking code.

A test written for ``Store`` runs on ``Driven(AsyncStore(...), thread)`` unchanged: calls wait for their coroutine,
``with`` enters ``async with``, ``for`` walks ``async for``.
"""

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import pathlib
import threading
import types
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, Set as AbstractSet
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Self, TypeVar

from pydantic import Secret, SecretBytes, SecretStr

T = TypeVar("T")

PLAIN = (
    *(types.NoneType, bool, int, float, str, bytes, bytearray, memoryview, decimal.Decimal, uuid.UUID),
    *(dt.date, dt.time, dt.timedelta, dt.tzinfo, pathlib.PurePath, Secret, SecretStr, SecretBytes),
    *(enum.Enum, BaseException, type, types.ModuleType, Mapping, Sequence, AbstractSet),
)


class LoopThread:
    """An event loop in a background thread.

    Each calling thread has one long-lived task there that makes its calls in order, as a program's own coroutine would:
    what ties itself to a task or its context (a timeout, a context variable) is entered and left in the same one.
    """

    def __init__(self, *, limit: float = 120) -> None:
        """``limit``: seconds after which a call that does not return is a deadlock and raises TimeoutError."""
        self.loop = asyncio.new_event_loop()
        self._limit = limit
        self._calls = threading.local()
        self._thread = threading.Thread(target=self.loop.run_forever, name="driven-loop", daemon=True)
        self._thread.start()

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call ``function`` on the loop, wait for what it returns, and return or raise its outcome."""
        outcome: Future[T] = Future()
        self.loop.call_soon_threadsafe(self._own_calls().put_nowait, (function, outcome))
        return outcome.result(self._limit)

    def close(self) -> None:
        """Cancel what still runs and stop the thread."""
        asyncio.run_coroutine_threadsafe(self._wind_up(), self.loop).result(self._limit)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _own_calls(self) -> asyncio.Queue[tuple[Callable[[], Awaitable[Any]], Future[Any]]]:
        if not hasattr(self._calls, "queue"):
            self._calls.queue = asyncio.Queue()
            asyncio.run_coroutine_threadsafe(self._serve(self._calls.queue), self.loop)
        return self._calls.queue  # type: ignore[no-any-return]

    @staticmethod
    async def _serve(calls: asyncio.Queue[tuple[Callable[[], Awaitable[Any]], Future[Any]]]) -> None:
        while True:
            function, outcome = await calls.get()
            try:
                outcome.set_result(await function())
            except BaseException as error:  # every outcome belongs to the caller, a cancellation inside the call too
                outcome.set_exception(error)
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # this is a task
                    raise

    @staticmethod
    async def _wind_up() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_asyncgens()
        await asyncio.get_running_loop().shutdown_default_executor()


class Driven:
    """A blocking view of an asynchronous object and of everything reached from it; plain values come as they are."""

    __slots__ = ("_object", "_thread")

    def __init__(self, obj: Any, thread: LoopThread) -> None:
        object.__setattr__(self, "_object", obj)
        object.__setattr__(self, "_thread", thread)

    def __getattr__(self, name: str) -> Any:
        if name == "close" and not hasattr(self._object, name):
            name = "aclose"  # what an asynchronous iterator calls it
        return _view(getattr(self._object, name), self._thread)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._object, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        async def call() -> Any:  # the call itself on the loop too: it may look for the running one
            result = self._object(*map(_given, args), **{name: _given(value) for name, value in kwargs.items()})
            return await result if _is_only_awaited(result) else result

        return _view(self._thread.run(call), self._thread)

    def __enter__(self) -> Any:
        return _view(self._thread.run(self._object.__aenter__), self._thread)

    def __exit__(self, *error: object) -> bool | None:
        return self._thread.run(lambda: self._object.__aexit__(*error))  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        if not hasattr(self._object, "__aiter__"):
            yield from self._object
            return
        iterator = aiter(self._object)
        try:
            with suppress(StopAsyncIteration):
                while True:
                    yield _view(self._thread.run(lambda: anext(iterator)), self._thread)
        finally:
            if hasattr(iterator, "aclose"):
                self._thread.run(iterator.aclose)

    def __next__(self) -> Any:
        try:
            return _view(self._thread.run(lambda: anext(self._object)), self._thread)
        except StopAsyncIteration:
            raise StopIteration from None

    def __repr__(self) -> str:
        return f"Driven({self._object!r})"


def _given(value: Any) -> Any:
    return value._object if isinstance(value, Driven) else value


def _view(value: Any, thread: LoopThread) -> Any:
    if isinstance(value, PLAIN) or (dataclasses.is_dataclass(value) and not _is_coloured(type(value))):
        return value
    return Driven(value, thread)


def _is_only_awaited(value: object) -> bool:
    """Whether a call's result is to be awaited; what can also be entered or iterated is left for the test to use."""
    return inspect.isawaitable(value) and not hasattr(value, "__aenter__") and not hasattr(value, "__aiter__")


def _is_coloured(cls: type) -> bool:
    """Whether a class has something to await, which sets a slice or a scope apart from a result."""
    members = [member for base in cls.__mro__ for member in vars(base).values()]
    return hasattr(cls, "__aenter__") or hasattr(cls, "__aiter__") or any(map(inspect.iscoroutinefunction, members))
