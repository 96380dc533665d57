"""Greenlets kept for what an AsyncStore runs.

A greenlet has a stack of Python frames of its own, which CPython (3.11 and later) maps when it starts and unmaps when
it ends. That costs more than all else that a point read does on the client, so a greenlet that has done its work waits
for the next one. SQLAlchemy's `greenlet_spawn` makes one for each call.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # ships no types

R = TypeVar("R")

KEPT = 64
"""Idle greenlets that a thread keeps at most: as many calls as are under way at once, mostly."""
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


class _Idle(threading.local):
    """The greenlets of a thread that do nothing: one cannot be switched to from another thread."""

    def __init__(self) -> None:
        self.workers: list[_Worker] = []


_idle = _Idle()


async def spawn(function: Callable[..., R], *arguments: Any) -> R:
    """Call a function in a greenlet, where `await_only` waits on the event loop, and return its result.

    What its wait raises, a cancellation too, is raised inside it.
    """
    idle = _idle.workers
    here = getcurrent()
    worker = idle.pop() if idle else _Worker()
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
    if len(idle) < KEPT:
        idle.append(worker)
    return result
