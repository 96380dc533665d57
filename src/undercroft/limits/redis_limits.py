"""The verbs of limits for a store that counts in Redis: the same calls, in both colours.

The definitions that a process uses it remembers, so a take is one call of Redis and none of the database.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from undercroft.core.idempotency import refuse_key
from undercroft.core.live import remembered
from undercroft.core.operation import procedure
from undercroft.core.runtime.base import Awaiting, AwaitingEngine, Blocking
from undercroft.core.runtime.coloured_ports import AwaitingPorts, BlockingPorts
from undercroft.core.runtime.greenlets import spawn
from undercroft.core.runtime.redis import AwaitingRedis
from undercroft.core.scope import Scope
from undercroft.limits import ops, redis_counters, taking
from undercroft.limits.records import Decision
from undercroft.limits.redis_rules import MOST, Counter, known
from undercroft.limits.taking import Take

if TYPE_CHECKING:
    from undercroft.limits import Limits

_Waiting = tuple[Take, "asyncio.Future[Decision]"]
Check = Callable[[Decision], Decision]

_DEFINITION = remembered(redis_counters.definition, topic=ops.TOPIC)


class _Verbs:
    consume_all = procedure(redis_counters.consume_all)
    check = procedure(redis_counters.check)
    refund = procedure(redis_counters.refund)
    usage = procedure(redis_counters.usage)
    reset = procedure(redis_counters.reset)
    remove = procedure(redis_counters.remove)


def count_in_redis(limits: "Limits[Any]") -> None:
    """Have a slice count in Redis."""
    runner, scope = limits._runner, limits._scope  # noqa: SLF001 - same slice
    for verb in vars(_Verbs).values():
        if isinstance(verb, procedure):
            verb.__get__(limits)  # which stands in the slice's own dictionary from now on
    for name, build, check in (("consume", taking.consume, ops.allowed), ("try_consume", taking.try_consume, _told)):
        limits.__dict__[name] = _taking(runner, scope, build, check)


def _told(decision: Decision) -> Decision:
    return decision


def _taking(runner: Any, scope: Scope, build: Callable[..., Take], check: Check) -> Callable[..., Any]:
    if isinstance(runner, Blocking):
        return _blocking(runner, scope, build, check)
    if isinstance(runner, AwaitingEngine):
        return _awaiting(runner, scope, build, check)
    return _in_transaction(runner, scope, build, check)


def _blocking(runner: Blocking, scope: Scope, build: Callable[..., Take], check: Check) -> Callable[..., Decision]:
    recall, ports = runner.recalling(scope, _DEFINITION), BlockingPorts(runner, scope.fresh)

    def take(*args: Any, **kwargs: Any) -> Decision:
        wanted = build(*args, **kwargs)
        refuse_key(scope)
        return check(redis_counters.take(ports, known(recall(wanted.name), wanted.name), wanted))

    return take


def _in_transaction(runner: Awaiting, scope: Scope, build: Callable[..., Take], check: Check) -> Callable[..., Any]:
    recall, ports = runner.recalling(scope, _DEFINITION), AwaitingPorts(runner, scope.fresh)

    async def take(*args: Any, **kwargs: Any) -> Decision:
        wanted = build(*args, **kwargs)
        refuse_key(scope)
        definition = known(await recall(wanted.name), wanted.name)
        return check(await spawn(redis_counters.take, ports, definition, wanted))

    return take


class _Crowds:
    """Takes of one counter that wait for each other share a call; the first one waits for nobody, and makes no task."""

    def __init__(self, redis: AwaitingRedis) -> None:
        self._redis = redis
        self._waiting: dict[tuple[str | int, ...], list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, counter: Counter, wanted: Take) -> Decision:
        """Take units; cancelling the wait does not take them back."""
        key = (*counter.keys, *counter.arguments)  # as it is defined: a change begins another crowd
        waiting = self._waiting.get(key)
        if waiting is not None:
            outcome: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
            waiting.append((wanted, outcome))
            return await outcome
        waiting = self._waiting[key] = []
        try:
            [decision] = await self._make(counter, [wanted])
        finally:
            if waiting:
                task = asyncio.create_task(self._serve(key, counter, waiting))
                self._tasks.add(task)  # the loop keeps only a weak reference
                task.add_done_callback(self._tasks.discard)
            else:
                del self._waiting[key]
        return decision

    async def _make(self, counter: Counter, takes: list[Take]) -> list[Decision]:
        told = await self._redis.run(*redis_counters.call("take", counter, *(one.units for one in takes)))
        return redis_counters.outcomes(counter, takes, told)

    async def _serve(self, key: tuple[str | int, ...], counter: Counter, waiting: "list[_Waiting]") -> None:
        """Take for those who came meanwhile, until none has."""
        while waiting:
            batch, waiting[:] = waiting[:MOST], waiting[MOST:]
            try:
                made = await self._make(counter, [one for one, _ in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear it
                for _, outcome in batch:
                    if not outcome.done():
                        outcome.set_exception(error)
            else:
                for (_, outcome), decision in zip(batch, made, strict=True):
                    if not outcome.done():
                        outcome.set_result(decision)
        del self._waiting[key]


def _awaiting(runner: AwaitingEngine, scope: Scope, build: Callable[..., Take], check: Check) -> Callable[..., Any]:
    """Take without a greenlet, which a call of Redis has no need of."""
    assert runner.redis is not None  # noqa: S101 - whoever asks has looked
    recall, crowds = runner.recalling(scope, _DEFINITION), _Crowds(runner.redis)

    async def take(*args: Any, **kwargs: Any) -> Decision:
        wanted = build(*args, **kwargs)
        refuse_key(scope)
        definition = known(await recall(wanted.name), wanted.name)
        return check(await crowds.take(definition.counter(wanted.by, wanted.resource), wanted))

    return take
