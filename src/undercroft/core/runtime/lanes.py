"""The hot lane: PostgreSQL connections held for our own operations and lent in the order they are asked for.

A pool that resets a connection on return pays for it with half its throughput. Nothing but our own operations ever runs
on these, and whatever they set ends with its transaction, so nothing is reset.
"""

import abc
import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from typing_extensions import override

from undercroft.errors import PoolTimeout, StoreClosed


class Held(Protocol):
    """A driver's connection with what the lane needs to know of it."""

    born: float

    @property
    def usable(self) -> bool:
        """Whether another operation may run on it."""

    def drop(self) -> None:
        """Close it at once, without a word to the server that could block."""


class Lane(abc.ABC):
    """What both colours count."""

    def __init__(self, size: int, timeout: float, recycle: float) -> None:
        self.size = size
        self.timeout = timeout
        self.recycle = recycle
        self.open = 0
        self.closed = False
        self.idle: list[Any] = []
        self.waiters: deque[Any] = deque()

    def give(self, held: Any) -> None:
        """Take a connection back, or replace one that is broken or old."""
        if self._worn(held):
            held.drop()
            held = None
        self._pass_on(held)

    @abc.abstractmethod
    def close(self) -> None:
        """Drop what is idle and refuse who waits; what is lent is dropped when it comes back."""

    @abc.abstractmethod
    def _pass_on(self, held: Any) -> None:
        """Hand on a connection, or None for the place of one, to the first who waits."""

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

    def _grown(self, held: Any) -> Any:
        """Refuse a new connection if the store was closed while it was made."""
        if self.closed:
            held.drop()
            raise StoreClosed
        return held

    @property
    def use(self) -> dict[str, int]:
        """How many connections are open, idle, and waited for."""
        return {"size": self.size, "open": self.open, "idle": len(self.idle), "waiting": len(self.waiters)}


class AwaitingLane(Lane):
    """The lane of an AsyncStore: single-threaded by its event loop, a freed connection goes to the first who waits."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], size: int, timeout: float, recycle: float) -> None:
        super().__init__(size, timeout, recycle)
        self._connect = connect
        self._alarm: asyncio.TimerHandle | None = None

    def spare(self) -> Any:
        """Lend an idle connection at once, or None where somebody waits or none lives."""
        return None if self.closed or self.waiters else self._fresh()

    async def take(self) -> Any:
        """Lend a connection; raises PoolTimeout when none becomes free in time."""
        if self.closed:
            raise StoreClosed
        if (held := self.spare()) is not None:
            return held
        if not self.waiters and self.open < self.size:
            self.open += 1
            return await self._grow()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Any] = loop.create_future()
        turn = loop.time() + self.timeout, waiter
        self.waiters.append(turn)
        if self._alarm is None:
            self._alarm = loop.call_at(turn[0], self._refuse_late)
        try:
            held = await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())
            elif turn in self.waiters:
                self.waiters.remove(turn)
            raise
        return await self._grow() if held is None else held

    def _refuse_late(self) -> None:
        """Refuse who has waited too long: one timer for all, where one for each would cost more than the wait."""
        loop = asyncio.get_running_loop()
        self._alarm = None
        while self.waiters:
            deadline, waiter = self.waiters[0]
            if deadline > loop.time():
                self._alarm = loop.call_at(deadline, self._refuse_late)
                return
            self.waiters.popleft()
            if not waiter.done():
                waiter.set_exception(PoolTimeout())

    async def _grow(self) -> Any:
        """Open a connection for which a place is taken already."""
        try:
            return self._grown(await self._connect())
        except BaseException:
            self._pass_on(None)
            raise

    async def validate(self, answers: Callable[[Any], Awaitable[bool]]) -> tuple[int, int]:
        """Ask every idle connection for a sign of life and drop the silent ones; returns how many of each."""
        taken, self.idle = self.idle, []
        try:
            silent = [await answers(held) for held in taken].count(False)
        finally:
            for held in taken:
                self.give(held)
        return len(taken), silent

    @override
    def close(self) -> None:
        self.closed = True
        self.forget_idle()
        if self._alarm is not None:
            self._alarm.cancel()
        while self.waiters:
            _, waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_exception(StoreClosed())

    @override
    def _pass_on(self, held: Any) -> None:
        while self.waiters:
            _, waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(held)
                return
        if held is None:
            self.open -= 1
        else:
            self.idle.append(held)


class BlockingLane(Lane):
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
        with self._lock:
            if self.closed:
                raise StoreClosed
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
        try:
            waiter.ready.wait(self.timeout)
        except BaseException:  # KeyboardInterrupt: what is handed over in this moment must not be lost
            if not self._withdraw(waiter) and not waiter.refused:
                self._pass_on(waiter.held)
            raise
        if self._withdraw(waiter):
            raise PoolTimeout
        if waiter.refused:
            raise StoreClosed
        return self._grow() if waiter.held is None else waiter.held

    def _withdraw(self, waiter: "_Waiter") -> bool:
        """Stop waiting, or tell that the wait is over already."""
        with self._lock:
            if waiter.ready.is_set():
                return False
            self.waiters.remove(waiter)
            return True

    def _grow(self) -> Any:
        """Open a connection for which a place is taken already."""
        try:
            return self._grown(self._connect())
        except BaseException:
            self._pass_on(None)
            raise

    def validate(self, answers: Callable[[Any], bool]) -> tuple[int, int]:
        """Ask every idle connection for a sign of life and drop the silent ones; returns how many of each."""
        taken, self.idle = self.idle, []
        silent = [answers(held) for held in taken].count(False)
        for held in taken:
            self.give(held)
        return len(taken), silent

    @override
    def close(self) -> None:
        with self._lock:
            self.closed = True
            super().forget_idle()
            while self.waiters:
                self.waiters.popleft().refuse()

    @override
    def _pass_on(self, held: Any) -> None:
        with self._lock:
            if self.waiters:
                self.waiters.popleft().hand(held)
            elif held is not None and not self.closed:
                self.idle.append(held)
            else:
                self.open -= 1
                if held is not None:
                    held.drop()


class _Waiter:
    __slots__ = ("held", "ready", "refused")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.held: Any = None
        self.refused = False

    def hand(self, held: Any) -> None:
        self.held = held
        self.ready.set()

    def refuse(self) -> None:
        self.refused = True
        self.ready.set()
