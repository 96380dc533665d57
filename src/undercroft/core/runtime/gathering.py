"""Appends that come at the same time, stored together."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from undercroft.errors import CommitUnknown, ConstraintViolation, InvalidInput, UndercroftError

if TYPE_CHECKING:
    from undercroft.core.operation import gathered

MOST = 500

logger = logging.getLogger("undercroft")

Store = Callable[[list[Any]], Awaitable[Sequence[Any]]]
"""Stores items together, and returns an outcome for each."""
BlockingStore = Callable[[list[Any]], Sequence[Any]]


class Gatherings:
    """For each key, such as a tenant and a kind of append, those that wait while a statement is under way.

    With ``together`` a statement stores all who wait, those included who were just answered and come again: where it
    runs in a thread of this process, they would only take the interpreter from each other. Otherwise it stores half of
    them, so that the others make ready their next while a server is at work.
    """

    def __init__(self, *, together: bool = False) -> None:
        self._together = together
        self._waiting: dict[Hashable, list[tuple[Any, asyncio.Future[Any]]]] = {}
        self._flushes: set[asyncio.Task[None]] = set()

    async def add(self, key: Hashable, item: Any, store: Store) -> Any:
        """Store an item and return its outcome; cancelling may leave it stored.

        Who finds nobody before him stores his own at once, without a task; those who come meanwhile are stored for.
        """
        waiting = self._waiting.get(key)
        if waiting is not None:
            outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            waiting.append((item, outcome))
            return await outcome
        waiting = self._waiting[key] = []
        try:
            return (await store([item]))[0]
        finally:
            if waiting:
                flush = asyncio.create_task(self._flush(key, store))
                self._flushes.add(flush)  # the loop keeps only a weak reference
                flush.add_done_callback(self._flushes.discard)
            else:
                del self._waiting[key]

    async def _flush(self, key: Hashable, store: Store) -> None:
        waiting, size = self._waiting[key], 1
        while waiting:
            size = min(MOST, len(waiting), len(waiting) if self._together else (len(waiting) + size + 1) // 2)
            batch = waiting[:size]
            del waiting[:size]
            await self._store(batch, store)
            if self._together:
                await asyncio.sleep(0)
        del self._waiting[key]

    async def _store(self, batch: list[tuple[Any, asyncio.Future[Any]]], store: Store) -> None:
        try:
            outcomes = await store([item for item, _ in batch])
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear it
            if not _must_part(batch, error):
                _refuse(batch, error)
                return
            for one in batch:  # one bad item must not fail its neighbours
                await self._store([one], store)
        else:
            answer(batch, outcomes)


class BlockingGatherings:
    """The same for threads: the first who comes stores his own item, the next those of all who waited with him."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, _Crowd] = {}
        self._lock = threading.Lock()

    def add(self, key: Hashable, item: Any, store: BlockingStore) -> Any:
        """Store an item and return its outcome."""
        outcome: Future[Any] = Future()
        with self._lock:
            crowd = self._waiting.get(key)
            if crowd is None:
                crowd = self._waiting[key] = _Crowd()
            crowd.waiting.append((item, outcome))
            crowd.members += 1
        try:
            with crowd.turn:
                while not outcome.done():
                    with self._lock:
                        batch = crowd.waiting[:MOST]
                        del crowd.waiting[:MOST]
                    self._store(batch, store)
        finally:
            with self._lock:
                crowd.members -= 1
                if not crowd.members:
                    del self._waiting[key]
        return outcome.result()

    def _store(self, batch: "list[Waiting]", store: BlockingStore) -> None:
        try:
            outcomes = store([item for item, _ in batch])
        except BaseException as error:
            if not _must_part(batch, error):
                _refuse(batch, error)
                if not isinstance(error, Exception):
                    raise
                return
            for one in batch:
                self._store([one], store)
        else:
            answer(batch, outcomes)


class _Crowd:
    """Threads that append to one tenant at the same time."""

    __slots__ = ("members", "turn", "waiting")

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.waiting: list[Waiting] = []
        self.members = 0


Waiting = tuple[Any, "asyncio.Future[Any] | Future[Any]"]


def note_left(append: "gathered[..., Any]", error: UndercroftError) -> None:
    """Log that something which could wait was not done."""
    logger.warning("%s is left to the next call: %s", append.name, error)


def answer(batch: Sequence[Waiting], outcomes: Sequence[Any]) -> None:
    """Give each who still waits his outcome."""
    for (_, outcome), result in zip(batch, outcomes, strict=True):
        if not outcome.done():
            outcome.set_result(result)


def _refuse(batch: Sequence[Waiting], error: BaseException) -> None:
    for _, outcome in batch:
        if not outcome.done():
            outcome.set_exception(_for(error))


def _must_part(batch: Sequence[Waiting], error: BaseException) -> bool:
    return len(batch) > 1 and _may_be_one_items(error)


def _may_be_one_items(error: BaseException) -> bool:
    """Tell whether a batch can have failed because of one of its items; an outage is everybody's, and at once."""
    if isinstance(error, UndercroftError):
        return isinstance(error, InvalidInput | ConstraintViolation)
    return isinstance(error, Exception)


def _for(error: BaseException) -> BaseException:
    """A cancelled flush (its loop is closing) leaves the fate of the items unknown."""
    if isinstance(error, Exception):
        return error
    unknown = CommitUnknown()
    unknown.__cause__ = error
    return unknown
