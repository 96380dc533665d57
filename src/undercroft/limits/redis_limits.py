"""The verbs of limits for a store that counts in Redis: the same calls, in both colours.

The definitions that a process uses it remembers, so a take is one call of Redis and none of the database.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from undercroft import limits
from undercroft.core.idempotency import refuse_key
from undercroft.core.live import remembered
from undercroft.core.operation import C, _Declaration, procedure
from undercroft.core.runtime.base import Awaiting, AwaitingEngine, Blocking
from undercroft.core.runtime.coloured_ports import AwaitingPorts, BlockingPorts
from undercroft.core.runtime.greenlets import spawn
from undercroft.core.runtime.ports import keep
from undercroft.core.runtime.redis import AwaitingRedis
from undercroft.core.scope import NOBODY, Scope
from undercroft.limits import ops, redis_counters, taking
from undercroft.limits.records import Decision
from undercroft.limits.redis_rules import MOST, Counter, known
from undercroft.limits.taking import Take

_Waiting = tuple[Take, "asyncio.Future[Decision]"]
Check = Callable[[Decision], Decision]

_DEFINITION = remembered(redis_counters.definition, topic=ops.TOPIC)


class _Taking(_Declaration):
    """A take, which an AsyncStore makes without a greenlet: a call of Redis has no need of one."""

    def __init__(self, build: Callable[..., Take], check: Check) -> None:
        super().__init__(build)
        self._check = check

    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        take = functools.update_wrapper(_taking(obj._runner, obj._scope, self.fn, self._check), self.fn)  # noqa: SLF001 - a slice is ours
        obj.__dict__[self.attribute] = take
        return take


def _told(decision: Decision) -> Decision:
    return decision


class Limits(limits.Limits[C]):
    """The limits of a tenant of a store that counts in Redis: the same calls."""

    consume = _Taking(taking.consume, ops.allowed)
    try_consume = _Taking(taking.try_consume, _told)
    consume_all = procedure(redis_counters.consume_all)
    check = procedure(redis_counters.check)
    refund = procedure(redis_counters.refund)
    usage = procedure(redis_counters.usage)
    reset = procedure(redis_counters.reset)
    remove = procedure(redis_counters.remove)


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

    def __init__(self) -> None:
        self._waiting: dict[tuple[str | int, ...], list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, redis: AwaitingRedis, counter: Counter, wanted: Take) -> Decision:
        """Take units; cancelling the wait does not take them back."""
        key = (*counter.keys, *counter.arguments)  # as it is defined: a change begins another crowd
        waiting = self._waiting.get(key)
        if waiting is not None:
            outcome: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
            waiting.append((wanted, outcome))
            return await outcome
        waiting = self._waiting[key] = []
        try:
            [decision] = await _make(redis, counter, [wanted])
        finally:
            if waiting:
                task = asyncio.create_task(self._serve(redis, key, counter, waiting))
                self._tasks.add(task)  # the loop keeps only a weak reference
                task.add_done_callback(self._tasks.discard)
            else:
                del self._waiting[key]
        return decision

    async def _serve(
        self, redis: AwaitingRedis, key: tuple[str | int, ...], counter: Counter, waiting: "list[_Waiting]"
    ) -> None:
        """Take for those who came meanwhile, until none has."""
        while waiting:
            batch, waiting[:] = waiting[:MOST], waiting[MOST:]
            try:
                made = await _make(redis, counter, [one for one, _ in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear it
                for _, outcome in batch:
                    if not outcome.done():
                        outcome.set_exception(error)
            else:
                for (_, outcome), decision in zip(batch, made, strict=True):
                    if not outcome.done():
                        outcome.set_result(decision)
        del self._waiting[key]


async def _make(redis: AwaitingRedis, counter: Counter, takes: list[Take]) -> list[Decision]:
    told = await redis.run(*redis_counters.call("take", counter, *(one.units for one in takes)))
    return redis_counters.outcomes(counter, takes, told)


def _awaiting(runner: AwaitingEngine, scope: Scope, build: Callable[..., Take], check: Check) -> Callable[..., Any]:
    assert runner.redis is not None  # noqa: S101 - whoever asks has looked
    redis, recall, crowds = runner.redis, runner.recalling(scope, _DEFINITION), keep(runner, NOBODY, _Crowds, None)

    async def take(*args: Any, **kwargs: Any) -> Decision:
        wanted = build(*args, **kwargs)
        refuse_key(scope)
        definition = known(await recall(wanted.name), wanted.name)
        return check(await crowds.take(redis, definition.counter(wanted.by, wanted.resource), wanted))

    return take
