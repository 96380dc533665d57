"""Appends that come at the same time, stored together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from undercroft.core.scope import Scope
from undercroft.errors import CommitUnknown, ConstraintViolation, InvalidInput, UndercroftError

if TYPE_CHECKING:
    from undercroft.core.operation import gathered

MOST = 500

Run = Callable[..., Awaitable[Any]]


class Gatherings:
    """For each tenant and kind of append, the items that wait while a statement of theirs is under way."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[UUID | None, int], list[tuple[Any, asyncio.Future[Any]]]] = {}
        self._flushes: set[asyncio.Task[None]] = set()

    async def add(self, scope: Scope, append: "gathered[..., Any]", item: Any, run: Run) -> Any:
        """Store an item and return its outcome; cancelling the wait does not take the item back."""
        key = (scope.tenant_id, id(append))
        waiting = self._waiting.get(key)
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if waiting is not None:
            waiting.append((item, outcome))
        else:
            self._waiting[key] = [(item, outcome)]
            flush = asyncio.create_task(self._flush(key, scope, append, run))
            self._flushes.add(flush)  # the loop keeps only a weak reference
            flush.add_done_callback(self._flushes.discard)
        return await outcome

    async def _flush(self, key: tuple[UUID | None, int], scope: Scope, append: "gathered[..., Any]", run: Run) -> None:
        waiting = self._waiting[key]
        while waiting:
            batch = waiting[:MOST]
            del waiting[:MOST]
            await self._store(batch, scope, append, run)
        del self._waiting[key]

    async def _store(
        self, batch: list[tuple[Any, asyncio.Future[Any]]], scope: Scope, append: "gathered[..., Any]", run: Run
    ) -> None:
        try:
            outcomes = await run(scope, append.single if len(batch) == 1 else append.many, [item for item, _ in batch])
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear it
            if len(batch) == 1 or not _may_be_one_items(error):
                for _, outcome in batch:
                    if not outcome.done():
                        outcome.set_exception(_for(error))
                return
            for one in batch:  # one bad item must not fail its neighbours
                await self._store([one], scope, append, run)
        else:
            for (_, outcome), result in zip(batch, outcomes, strict=True):
                if not outcome.done():
                    outcome.set_result(result)


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
