"""Endless streams: pages until there is nothing new, then a wait for the next notice, in both colours."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from undercroft.core.runtime.memory import Memory, Subject
from undercroft.core.scope import Scope
from undercroft.errors import DatabaseUnavailable, InvalidInput, PoolTimeout, StoreClosed

if TYPE_CHECKING:
    from undercroft.core.live import feed
    from undercroft.core.runtime.base import AwaitingEngine, BlockingEngine

HEAL = 10.0
"""Seconds after which a feed looks without a notice: what was lost on the way is made up for."""
UNHEARD = 0.5
"""The same while nothing is heard of at all."""
LONGEST_OUTAGE_PAUSE = 5.0


def refuse_in_transaction() -> InvalidInput:
    """Return what a feed raises in a transaction."""
    message = "A feed waits for what others commit, so it is no part of a transaction."
    return InvalidInput(message, field="transaction", hint="call it on the tenant itself")


class _Outage:
    """How long to wait for a database that was there before."""

    def __init__(self) -> None:
        self._pause: float | None = None

    def ended(self) -> None:
        """Note an answer."""
        self._pause = 0.1

    def pause(self) -> float | None:
        """Return the seconds to wait, None where there never was an answer."""
        if self._pause is None:
            return None
        wait, self._pause = self._pause, min(LONGEST_OUTAGE_PAUSE, self._pause * 2)
        return wait * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret


def _patience(memory: Memory, subject: Subject) -> float:
    return HEAL if memory.alive and subject.scope is not None else UNHEARD


def blocking(
    engine: "BlockingEngine", scope: Scope, watched: "feed[..., Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Any]:
    """Yield what comes until the store is closed."""
    assert scope.tenant_id is not None  # noqa: S101 - refused before
    place, after, outage = engine.place, None, _Outage()
    memory = place.memory
    subject = memory.subject(scope.tenant_id, watched.topic)
    woken = threading.Event()
    wake = woken.set
    memory.attend(subject, wake)
    try:
        while not memory.closed:
            woken.clear()
            try:
                if memory.alive and subject.scope is None:
                    generation = subject.generation
                    memory.name(subject, engine.run(scope, watched.naming), generation)
                page = engine.run(scope, watched, after, *args, **kwargs)  # type: ignore[arg-type]  # a page is an operation
            except StoreClosed:
                return
            except (DatabaseUnavailable, PoolTimeout):
                pause = outage.pause()
                if pause is None:
                    raise
                woken.wait(pause)
                continue
            outage.ended()
            place.listener.start()
            memory.overtaken(subject, page.items)
            yield from page.items
            after = after if page.after is None else page.after
            if not page.items:
                woken.wait(_patience(memory, subject))
    finally:
        memory.leave(subject, wake)


async def awaiting(
    engine: "AwaitingEngine", scope: Scope, watched: "feed[..., Any]", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncIterator[Any]:
    """Yield what comes until the store is closed."""
    assert scope.tenant_id is not None  # noqa: S101 - refused before
    place, after, outage = engine.place, None, _Outage()
    memory = place.memory
    subject = memory.subject(scope.tenant_id, watched.topic)
    woken, loop = asyncio.Event(), asyncio.get_running_loop()

    def wake() -> None:
        with suppress(RuntimeError):  # a loop that has ended has nobody who waits
            loop.call_soon_threadsafe(woken.set)

    async def wait(seconds: float) -> None:
        # Not wait_for, which before Python 3.12 loses a cancellation that comes together with what it waits for.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await woken.wait()

    memory.attend(subject, wake)
    try:
        while not memory.closed:
            woken.clear()
            try:
                if memory.alive and subject.scope is None:
                    generation = subject.generation
                    memory.name(subject, await engine.run(scope, watched.naming), generation)
                page = await engine.run(scope, watched, after, *args, **kwargs)  # type: ignore[arg-type]  # same
            except StoreClosed:
                return
            except (DatabaseUnavailable, PoolTimeout):
                pause = outage.pause()
                if pause is None:
                    raise
                await wait(pause)
                continue
            outage.ended()
            place.listener.start()
            memory.overtaken(subject, page.items)
            for item in page.items:
                yield item
            after = after if page.after is None else page.after
            if not page.items:
                await wait(_patience(memory, subject))
    finally:
        memory.leave(subject, wake)
