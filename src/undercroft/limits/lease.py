"""Leases: a process takes a block of units at once and hands them out from memory.

Every unit was taken from the limit before it is handed out, so the limit is never overspent. What a process that is
killed still held is lost to the others: at most a block, until the period ends or the bucket has refilled.
"""

import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, overload

from undercroft.core.operation import C, Slice, operation, procedure
from undercroft.core.runtime.base import Awaiting, AwaitingEngine, Blocking, BlockingEngine, Ports
from undercroft.core.scope import Scope
from undercroft.errors import InvalidInput, StoreClosed, WrongColour
from undercroft.limits import ops, rules
from undercroft.limits.records import Decision

_TAKE = operation(ops.take_some, access="append")
_GIVE_BACK = operation(ops.refund)
_LONGEST = 86_400


@dataclass(frozen=True, slots=True)
class Source:
    """Where blocks come from, and go back to."""

    take: Callable[..., Decision]
    give_back: Callable[[Ports, Decision], object]


DATABASE = Source(
    lambda ports, name, **wanted: ports.run(_TAKE, name, **wanted), lambda ports, left: ports.run(_GIVE_BACK, left)
)


class Block:
    """Units that were taken and not yet handed out; safe to share between threads."""

    def __init__(
        self, name: str, size: int, seconds: float, by: str | None, resource: str | None, *, source: "Source"
    ) -> None:
        self.name = name
        self.source = source
        self.size = size
        self.by = by
        self.resource = resource
        self.closed = False
        self._seconds = seconds
        self._lock = threading.Lock()
        self._units = 0
        self._until = 0.0
        self._taken: Decision | None = None
        self._flight: Future[Decision | None] | None = None

    def hand(self, units: int) -> Decision | None:
        """Hand out units from memory, None where there are not as many."""
        with self._lock:
            if units < 1 or time.monotonic() >= self._until:
                return None
            return self._handed(units)

    def _handed(self, units: int) -> Decision | None:
        taken = self._taken
        if units > self._units or taken is None:
            return None
        self._units -= units
        return Decision(
            self.name,
            True,  # noqa: FBT003 - by position, which is what a hot path can afford
            units,
            taken.limit,
            self._units,
            taken.resets_at,
            max(0.0, taken.resets_after),
            None,
            None,
            taken.window,
            self.by,
            self.resource,
            taken.period,
        )

    def join(self) -> tuple["Future[Decision | None]", bool]:
        """Return the take that is under way, or begin one; tells whether it was begun."""
        with self._lock:
            if self.closed:
                message = "The lease is closed."
                raise StoreClosed(message, hint="ask for a new one with limits.lease(...)")
            if self._flight is not None:
                return self._flight, False
            self._flight = Future()
            self._flight.set_running_or_notify_cancel()  # one who gives up waiting must not cancel it for the others
            return self._flight, True

    def land(self, taken: Decision, asked: float, units: int) -> tuple[Decision | None, Decision | None]:
        """End a take that was ``asked`` at a moment, and wake who waits.

        Returns what is handed to whoever took it, who is served however soon it expires, and what must be given back.
        """
        with self._lock:
            handed = left = None
            if taken.allowed:
                lasting = min(self._seconds, taken.resets_after) if taken.period >= 0 else self._seconds
                if self._taken is not None and self._taken.period != taken.period:
                    left = self._remainder()
                # Measured from before it was asked, so by the database's clock it ends no later than the period.
                self._units, self._until, self._taken = self._units + taken.units, asked + lasting, taken
                handed = self._handed(units)
                if self.closed:
                    left = self._remainder()
            self._settle().set_result(None if taken.allowed else taken)
            return handed, left

    def give_up(self, error: BaseException) -> None:
        """End a take that failed, for whoever waits as well, or that was cancelled, which is nobody else's concern."""
        with self._lock:
            flight = self._settle()
        if isinstance(error, Exception):
            flight.set_exception(error)
        else:
            flight.set_result(None)

    def expire(self) -> Decision | None:
        """Forget units that were held too long; returns what must be given back."""
        with self._lock:
            return self._remainder() if time.monotonic() >= self._until else None

    def close(self) -> Decision | None:
        """Hand out nothing more; returns what must be given back."""
        with self._lock:
            self.closed = True
            return self._remainder()

    def _remainder(self) -> Decision | None:
        left, self._units = self._units, 0
        return replace(self._taken, units=left) if left and self._taken is not None else None

    def _settle(self) -> "Future[Decision | None]":
        flight, self._flight = self._flight, None
        assert flight is not None  # noqa: S101 - whoever ends it began it
        return flight


def _more(ports: Ports, block: Block, units: int) -> Decision:
    """Take another block, once for all who ask at this moment, and hand out of it."""
    rules.check_units(units)
    while True:
        if (handed := block.hand(units)) is not None:
            return handed
        flight, mine = block.join()
        told = _take(ports, block, units) if mine else ports.wait(flight)
        if told is not None:
            return told if told.units == units else replace(told, units=units)


def _take(ports: Ports, block: Block, units: int) -> Decision | None:
    try:
        _return(ports, block, block.expire())
        asked = time.monotonic()
        most = max(units, block.size)
        taken = block.source.take(ports, block.name, most=most, least=1, by=block.by, resource=block.resource)
    except BaseException as error:
        block.give_up(error)
        raise
    handed, left = block.land(taken, asked, units)
    _return(ports, block, left)
    return handed if taken.allowed else taken


def _close(ports: Ports, block: Block) -> None:
    """Give back what was not handed out; a lease that is not closed keeps it until the period ends."""
    _return(ports, block, block.close())


def _return(ports: Ports, block: Block, left: Decision | None) -> None:
    if left is not None:
        block.source.give_back(ports, left)


class Lease(Slice[C]):
    """Units of one limit, handed out from memory; enter it with ``with`` or ``async with``, or close it."""

    close = procedure(_close)
    _more = procedure(_more)

    def __init__(self, runner: C, scope: Scope, block: Block) -> None:
        super().__init__(runner, scope)
        self._block = block
        self._subject = (block,)
        self._blocking = isinstance(runner, Blocking)

    @overload
    def try_consume(self: "Lease[Blocking]", *, units: int = 1) -> Decision: ...
    @overload
    def try_consume(self: "Lease[Awaiting]", *, units: int = 1) -> Coroutine[Any, Any, Decision]: ...
    def try_consume(self: "Lease[Any]", *, units: int = 1) -> Any:
        """Take units, and tell whether they were taken; ``remaining`` is what this process still holds.

        Raises:
            NotFound, InvalidInput: as `Limits.try_consume`, at the first take.
            StoreClosed: the lease is closed.
        """
        return (self._block.hand(units) or self._more(units)) if self._blocking else self._awaited(units)

    async def _awaited(self: "Lease[Any]", units: int) -> Any:
        return self._block.hand(units) or await self._more(units)

    @overload
    def consume(self: "Lease[Blocking]", *, units: int = 1) -> Decision: ...
    @overload
    def consume(self: "Lease[Awaiting]", *, units: int = 1) -> Coroutine[Any, Any, Decision]: ...
    def consume(self: "Lease[Any]", *, units: int = 1) -> Any:
        """Take units, or raise; see `try_consume`.

        Raises:
            LimitExceeded: there are not as many left, here and in the limit.
        """
        return ops.allowed(self.try_consume(units=units)) if self._blocking else self._consumed(units)

    async def _consumed(self: "Lease[Any]", units: int) -> Any:
        return self._block.hand(units) or ops.allowed(await self._more(units))

    def __enter__(self) -> Self:
        return self._entered(blocking=True)

    def __exit__(
        self: "Lease[Any]", kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self._entered(blocking=False)

    async def __aexit__(
        self: "Lease[Any]", kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _entered(self, *, blocking: bool) -> Self:
        if self._blocking is not blocking:
            raise WrongColour
        return self


def lease(
    runner: C, scope: Scope, name: str, *, block: int, by: str | None, resource: str | None, seconds: float
) -> Lease[C]:
    """Make a lease; see `Limits.lease`."""
    rules.check_name(name)
    if not isinstance(runner, BlockingEngine | AwaitingEngine):
        message = "A lease outlives a transaction, which may be undone."
        raise InvalidInput(message, hint="lease on the tenant itself")
    if not 0 < seconds <= _LONGEST:
        message = "A block is held for up to a day."
        raise InvalidInput(message, field="seconds")
    if runner.redis is None:
        source = DATABASE
    else:
        from undercroft.limits.redis_counters import SOURCE as source  # noqa: N811, PLC0415 - only where it is used
    return Lease(runner, scope, Block(name, rules.check_units(block), seconds, by, resource, source=source))
