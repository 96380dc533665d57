"""The hot lane: PostgreSQL connections held for our own operations and lent in the order they are asked for.

A pool that resets a connection on return pays for it with half its throughput. Nothing but our own operations ever runs
on these, and whatever they set ends with its transaction, so nothing is reset.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from undercroft.errors import PoolTimeout, StoreClosed


class Held(Protocol):
    """A driver's connection with what the lane needs to know of it."""

    born: float

    @property
    def usable(self) -> bool:
        """Whether another operation may run on it."""

    def drop(self) -> None:
        """Close it at once, without a word to the server that could block."""


class _Lane:
    """What both colours count."""

    def __init__(self, size: int, timeout: float, recycle: float) -> None:
        self.size = size
        self.timeout = timeout
        self.recycle = recycle
        self.open = 0
        self.closed = False
        self.idle: list[Any] = []
        self.waiters: deque[Any] = deque()

    def _worn(self, held: Held) -> bool:
        return not held.usable or self.closed or time.monotonic() - held.born > self.recycle

    def _fresh(self) -> Any:
        """Pop an idle connection that still lives, or None."""
        while self.idle:
            held = self.idle.pop()
            if not self._worn(held):
                return held
            held.drop()
            self.open -= 1
        return None

    def forget_idle(self) -> None:
        """Drop every connection that nobody uses: the server that held them is gone."""
        while self.idle:
            self.idle.pop().drop()
            self.open -= 1

    @property
    def use(self) -> dict[str, int]:
        """How many connections are open, idle, and waited for."""
        return {"size": self.size, "open": self.open, "idle": len(self.idle), "waiting": len(self.waiters)}


class AwaitingLane(_Lane):
    """The lane of an AsyncStore: single-threaded by its event loop, a freed connection goes to the first who waits."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], size: int, timeout: float, recycle: float) -> None:
        super().__init__(size, timeout, recycle)
        self._connect = connect

    async def take(self) -> Any:
        """Lend a connection; raises PoolTimeout when none becomes free in time."""
        if self.closed:
            raise StoreClosed
        if not self.waiters:
            if (held := self._fresh()) is not None:
                return held
            if self.open < self.size:
                self.open += 1
                return await self._grow()
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            held = await asyncio.wait_for(waiter, self.timeout)
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())
            elif waiter in self.waiters:
                self.waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise PoolTimeout from error
            raise
        return await self._grow() if held is None else held

    async def _grow(self) -> Any:
        """Open a connection for which a place is taken already."""
        try:
            return await self._connect()
        except BaseException:
            self._pass_on(None)
            raise

    def give(self, held: Any) -> None:
        """Take a connection back, or replace one that is broken or old."""
        if self._worn(held):
            held.drop()
            held = None
        self._pass_on(held)

    def _pass_on(self, held: Any) -> None:
        """Hand on a connection, or None for the place of one, to the first who still waits."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(held)
                return
        if held is None:
            self.open -= 1
        else:
            self.idle.append(held)


class BlockingLane(_Lane):
    """The lane of a Store: one lock, and an event for each thread that waits."""

    def __init__(self, connect: Callable[[], Any], size: int, timeout: float, recycle: float) -> None:
        super().__init__(size, timeout, recycle)
        self._connect = connect
        self._lock = threading.Lock()

    def forget_idle(self) -> None:
        """Drop every connection that nobody uses: the server that held them is gone."""
        with self._lock:
            super().forget_idle()

    def take(self) -> Any:
        """Lend a connection; raises PoolTimeout when none becomes free in time."""
        if self.closed:
            raise StoreClosed
        with self._lock:
            if not self.waiters and (held := self._fresh()) is not None:
                return held
            waiter = None
            if not self.waiters and self.open < self.size:
                self.open += 1
            else:
                waiter = _Waiter()
                self.waiters.append(waiter)
        if waiter is None:
            return self._grow()
        if not waiter.ready.wait(self.timeout):
            with self._lock:
                if not waiter.ready.is_set():
                    self.waiters.remove(waiter)
                    raise PoolTimeout
        return self._grow() if waiter.held is None else waiter.held

    def _grow(self) -> Any:
        """Open a connection for which a place is taken already."""
        try:
            return self._connect()
        except BaseException:
            self._pass_on(None)
            raise

    def give(self, held: Any) -> None:
        """Take a connection back, or replace one that is broken or old."""
        if self._worn(held):
            held.drop()
            held = None
        self._pass_on(held)

    def _pass_on(self, held: Any) -> None:
        """Hand on a connection, or None for the place of one, to the first who waits."""
        with self._lock:
            if self.waiters:
                self.waiters.popleft().hand(held)
            elif held is None:
                self.open -= 1
            else:
                self.idle.append(held)


class _Waiter:
    __slots__ = ("held", "ready")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.held: Any = None

    def hand(self, held: Any) -> None:
        self.held = held
        self.ready.set()
