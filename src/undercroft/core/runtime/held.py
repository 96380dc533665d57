"""A blocking context manager, held by an awaiting caller."""

import asyncio
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any

from undercroft.core.runtime.greenlets import spawn

_leaving: set[asyncio.Future[Any]] = set()


class Held(AbstractAsyncContextManager[Any, None]):
    """A blocking context manager entered and left in greenlets."""

    def __init__(self, manager: AbstractContextManager[Any, Any]) -> None:
        self._manager = manager

    async def __aenter__(self) -> Any:
        return await spawn(self._manager.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        # In a task of its own: a cancellation that comes again while it leaves must not stop what it has to write.
        leaving = asyncio.ensure_future(spawn(self._manager.__exit__, kind, error, trace))
        _leaving.add(leaving)  # the loop keeps only a weak reference
        leaving.add_done_callback(_leaving.discard)
        return await asyncio.shield(leaving)
