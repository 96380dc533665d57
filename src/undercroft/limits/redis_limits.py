"""The verbs of limits for a store that counts in Redis: the same calls, in both colours.

The definitions that a process uses it remembers, so a take is one call of Redis and none of the database.
"""

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
from undercroft.core.runtime.redis import AwaitingRedis
from undercroft.core.scope import Scope
from undercroft.limits import ops, redis_counters, taking
from undercroft.limits.records import Decision
from undercroft.limits.redis_rules import Counter, known
from undercroft.limits.taking import Take

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


async def _make(redis: AwaitingRedis, counter: Counter, takes: list[Take]) -> list[Decision]:
    told = await redis.run(*redis_counters.call("take", counter, *(one.units for one in takes)))
    return redis_counters.outcomes(counter, takes, told)


def _awaiting(runner: AwaitingEngine, scope: Scope, build: Callable[..., Take], check: Check) -> Callable[..., Any]:
    """Make takes of one counter that wait for each other in one call, whatever scope they came through."""
    assert runner.redis is not None  # noqa: S101 - whoever asks has looked
    redis, recall, gatherings = runner.redis, runner.recalling(scope, _DEFINITION), runner.gatherings

    async def take(*args: Any, **kwargs: Any) -> Decision:
        wanted = build(*args, **kwargs)
        refuse_key(scope)
        counter = known(await recall(wanted.name), wanted.name).counter(wanted.by, wanted.resource)
        key = counter.keys, counter.arguments  # as it is defined: a change begins another crowd
        return check(await gatherings.add(key, wanted, functools.partial(_make, redis, counter)))

    return take
