"""Greenlets kept for the operations of an AsyncStore.

A greenlet has a stack of Python frames of its own, which CPython (3.11 and later) maps when it starts and unmaps when
it ends. That costs more than all else that a point read does on the client, so a greenlet that has done its work waits
for the next one. SQLAlchemy's `greenlet_spawn`, which makes one for each call, is for what is not called all the time.
"""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # ships no types

R = TypeVar("R")

_DONE = object()


class _Worker(greenlet):  # type: ignore[misc]  # same
    """Runs one call after another; an exception ends it and is raised in its parent, as with any greenlet."""

    __sqlalchemy_greenlet_provider__ = True  # `await_only` looks for it

    call: tuple[Callable[..., Any], tuple[Any, ...]] | None
    result: Any

    def run(self) -> None:
        while self.call is not None:
            self.result = self.call[0](*self.call[1])
            self.parent.switch(_DONE)


class GreenletPool:
    """Runs functions in greenlets, where `await_only` waits on the event loop; it belongs to one thread."""

    __slots__ = ("_idle",)

    def __init__(self) -> None:
        self._idle: list[_Worker] = []

    async def run(self, function: Callable[..., R], *arguments: Any) -> R:
        """Call a function and return its result; what its wait raises, a cancellation too, is raised inside it."""
        here = getcurrent()
        worker = self._idle.pop() if self._idle else _Worker()
        worker.parent = here
        worker.gr_context = here.gr_context
        worker.call = function, arguments
        answer = worker.switch()
        while answer is not _DONE:
            try:
                value = await answer
            except BaseException:  # noqa: BLE001 - the function's to handle
                answer = worker.throw(*sys.exc_info())
            else:
                answer = worker.switch(value)
        result: R = worker.result
        worker.call = worker.result = worker.gr_context = None  # an idle one keeps nothing alive
        self._idle.append(worker)
        return result
