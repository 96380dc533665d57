"""Transactions in which something is done outside the database: made good, as far as it can be, if they are undone."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.core.runtime.coloured_ports import AwaitingPorts, BlockingPorts
from undercroft.core.runtime.greenlets import spawn
from undercroft.core.runtime.ports import Undo
from undercroft.core.scope import Scope
from undercroft.errors import DatabaseError, UndercroftError


class _Block:
    """One transaction, or a savepoint in one, and how many deeds there were when it began."""

    def __init__(self, runner: Blocking | Awaiting) -> None:
        self._deeds: list[Undo] = [] if runner.undone is None else runner.undone
        self._before = len(self._deeds)
        self.ended = False

    def undone(self, error: BaseException) -> list[Undo]:
        """Return what is to be made good, the last deed first: nothing where the transaction may be committed."""
        if self.ended and not isinstance(error, DatabaseError):
            return []
        made = self._deeds[: self._before - 1 if self._before else None : -1]
        del self._deeds[self._before :]
        return made


@contextmanager
def blocking(runner: Blocking, scope: Scope) -> Generator[Blocking, None, None]:
    """Open a transaction of a Store."""
    block = None
    try:
        with runner.transaction(scope) as inner:
            inner.redis = runner.redis
            block = _Block(inner)
            yield inner
            block.ended = True
    except BaseException as error:
        try:
            for undo in [] if block is None else block.undone(error):
                undo(BlockingPorts(inner, scope))
        except UndercroftError:
            pass  # Redis is gone as well: a unit too many is counted, until its period ends
        raise


@asynccontextmanager
async def awaiting(runner: Awaiting, scope: Scope) -> AsyncGenerator[Awaiting, None]:
    """Open a transaction of an AsyncStore."""
    block = None
    try:
        async with runner.transaction(scope) as inner:
            inner.redis = runner.redis
            block = _Block(inner)
            yield inner
            block.ended = True
    except BaseException as error:
        try:
            for undo in [] if block is None else block.undone(error):
                await spawn(undo, AwaitingPorts(inner, scope))
        except UndercroftError:
            pass  # as above
        raise
