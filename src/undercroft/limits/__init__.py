"""Limits that cannot be overspent: rates, quotas and budgets of a tenant, its users and its resources."""

from typing import Self, cast

from undercroft.core.operation import C, Slice, gathered, operation
from undercroft.core.scope import Scope
from undercroft.limits import lease as leases, ops, taking
from undercroft.limits.decorator import limited
from undercroft.limits.lease import Lease
from undercroft.limits.records import Decision, Limit, Usage

__all__ = ["Decision", "Lease", "Limit", "Limits", "Usage", "limited"]


class Limits(Slice[C]):
    """The limits of a tenant, and what was used of them."""

    define = operation(ops.define)
    list = operation(ops.list_, access="read")
    remove = operation(ops.remove)
    consume = gathered(taking.consume, taking.take_together, many="append", apart=taking.counter, check=ops.allowed)
    try_consume = gathered(taking.try_consume, taking.take_together, many="append", apart=taking.counter)
    consume_all = operation(ops.consume_all)
    check = operation(ops.check, access="point")
    refund = operation(ops.refund)
    usage = operation(ops.usage, access="read")
    reset = operation(ops.reset)
    cleanup = operation(ops.cleanup)

    def __new__(cls, runner: C, scope: Scope) -> Self:
        """Choose where is counted: the same calls in Redis, where the store has one for it."""
        del scope
        kind: type[Self] = cls
        if runner.redis is not None:
            from undercroft.limits import redis_limits  # noqa: PLC0415 - only where it is used

            kind = cast("type[Self]", redis_limits.Limits)
        return super().__new__(kind)

    def lease(
        self, name: str, *, block: int, by: str | None = None, resource: str | None = None, seconds: float = 60
    ) -> Lease[C]:
        """Hand out units of a limit from memory, taken ``block`` at a time: for a key that is too hot for one row.

        The limit is never overspent, as every unit is taken from it first. What is not handed out is given back when
        the lease is closed, or at the next call after ``seconds``; a process that is killed loses at most a block. A
        bucket may be passed on a block later than it was taken, so a burst may be larger by a block a process.

        Raises:
            InvalidInput: inside a transaction, a block that is no positive number, or more seconds than a day has.
        """
        return leases.lease(self._runner, self._scope, name, block=block, by=by, resource=resource, seconds=seconds)
