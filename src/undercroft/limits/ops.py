"""Operations on limits."""

from collections.abc import Mapping

from undercroft.core.pages import check_limit as check_page
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, LimitExceeded, NotFound
from undercroft.limits import rules, statements
from undercroft.limits.records import Decision, Limit, Usage
from undercroft.limits.rules import Count, Each, Kind, Per

TOPIC = "limits"
DAY = 86_400_000
LONGEST_KEPT = 36_600


def define(
    tx: Tx,
    name: str,
    amount: int,
    *,
    per: Per,
    kind: Kind = "period",
    burst: int | None = None,
    each: Each = "tenant",
    by: str | None = None,
) -> Limit:
    """Define a limit, or change it: what was used stays used, unless ``kind`` or ``per`` changes, which starts anew.

    A ``period`` allows ``amount`` units in each calendar minute, hour, day or month, UTC. A ``bucket`` gets ``amount``
    units back each second, minute, hour or day, evenly, and never holds more than ``burst`` (``amount`` without).
    ``each`` tells who has a counter of his own: "tenant", "user", "resource" or "user and resource".

    Raises:
        InvalidInput: an amount that is no positive whole number, or a ``per`` that the kind does not know.
    """
    limit = rules.check_limit(name, amount, kind=kind, per=per, burst=burst, each=each)
    tx.announce(TOPIC)
    tx.run(
        statements.DEFINE,
        {
            "name": limit.name,
            "kind": limit.kind,
            "amount": limit.amount,
            "per": limit.per,
            "burst": limit.burst,
            "each": limit.each,
            "parts": rules.LENGTHS[per] if kind == "bucket" else 1,
            "length": rules.LENGTHS[per],
            "refill": amount if kind == "bucket" else 0,
            "updated_at": tx.now,
            "updated_by": by,
        },
    )
    return limit


def list_(tx: Tx) -> list[Limit]:
    """List the definitions, by name."""
    return [Limit(*row) for row in tx.rows(statements.DEFINITIONS)]


def remove(tx: Tx, name: str) -> bool:
    """Remove a limit with all that was used of it; tells whether there was one."""
    tx.announce(TOPIC)
    statement, used = statements.RESET.given(name=name)
    tx.run(statement, used)
    return tx.run(statements.REMOVE, {"name": name}) > 0


def take(tx: Tx, name: str, *, units: int = 1, by: str | None = None, resource: str | None = None) -> Decision:
    """Take units, all of them or none, in one statement; see `undercroft.limits.taking`."""
    key = {"name": rules.check_name(name), "user": by or "", "resource": resource or ""}
    row = tx.row(statements.TAKE, {**key, "units": rules.check_units(units)})
    if row is not None:
        return rules.decision(name, Count(*row), units, allowed=True, user=by, resource=resource)
    return rules.decision(name, state(tx, key), units, allowed=False, user=by, resource=resource)


def consume_all(
    tx: Tx, units: Mapping[str, int], *, by: str | None = None, resource: str | None = None
) -> list[Decision]:
    """Take of several limits at once, such as a user's and the workspace's: all of them or none, by their names.

    Raises:
        LimitExceeded: of the first, by name, that has not as many left; nothing was taken of any.
        NotFound, InvalidInput: as `try_consume`.
    """
    taken: list[Decision] = []
    try:
        for name in sorted(units):  # in one order everywhere, so that two never wait for each other
            taken.append(allowed(take(tx, name, units=units[name], by=by, resource=resource)))  # noqa: PERF401 - it may raise
    except (LimitExceeded, NotFound, InvalidInput):
        for decision in taken:  # a caller may catch it and go on with his transaction
            refund(tx, decision)
        raise
    return taken


def check(tx: Tx, name: str, *, units: int = 1, by: str | None = None, resource: str | None = None) -> Decision:
    """Tell whether units could be taken now, and take nothing.

    Raises:
        NotFound, InvalidInput: as `try_consume`.
    """
    key = {"name": rules.check_name(name), "user": by or "", "resource": resource or ""}
    count = state(tx, key)
    allowed = rules.remaining(count) >= rules.check_units(units)
    return rules.decision(name, count, units, allowed=allowed, user=by, resource=resource)


def take_some(
    tx: Tx, name: str, *, most: int, least: int, by: str | None = None, resource: str | None = None
) -> Decision:
    """Take as many units as there are, from ``least`` to ``most``; what is refused is refused for the least."""
    taken = take(tx, name, units=most, by=by, resource=resource)
    while not taken.allowed and taken.remaining >= least:
        taken = take(tx, name, units=min(most, taken.remaining), by=by, resource=resource)
    if taken.allowed:
        return taken
    count = state(tx, {"name": name, "user": by or "", "resource": resource or ""})
    return rules.decision(name, count, least, allowed=False, user=by, resource=resource)


def refund(
    tx: Tx,
    taken: Decision | str,
    *,
    units: int | None = None,
    by: str | None = None,
    resource: str | None = None,
) -> Decision:
    """Give units back, at most as many as are used: to the period they were taken from, or by the limit's name.

    ``taken`` is what `consume` returned, or a name with ``by`` and ``resource`` as they were there, which gives back to
    the present period. Without ``units`` it is all that was taken, or 1. Returns how the counter stands.

    Raises:
        NotFound, InvalidInput: as `try_consume`.
    """
    if isinstance(taken, Decision):
        name, by, resource = taken.name, taken.user, taken.resource
        units = taken.units if units is None else units
    else:
        name = rules.check_name(taken)
    units = rules.check_units(1 if units is None else units)
    key = {"name": name, "user": by or "", "resource": resource or ""}
    now, each = _defined(tx, key)
    holder = {"user": key["user"] if "user" in each else "", "resource": key["resource"] if "resource" in each else ""}
    period = taken.period if isinstance(taken, Decision) else now.period
    parts = -period if period < 0 else 1
    if isinstance(taken, Decision) and not taken.allowed:
        return rules.decision(name, now, units, allowed=True, user=by, resource=resource)
    row = tx.row(
        statements.GIVE_BACK,
        {"name": name, **holder, "period": period, "parts": parts, "units": min(units, rules.MOST_PARTS // parts)},
    )
    return rules.decision(name, now if row is None else Count(*row), units, allowed=True, user=by, resource=resource)


def usage(
    tx: Tx, name: str | None = None, *, by: str | None = None, resource: str | None = None, limit: int = 100
) -> list[Usage]:
    """List what is used at this moment: of the running periods, and of buckets, by name, user and resource."""
    statement, used = statements.USAGE.given(name=name, user=by, resource=resource, limit=check_page(limit))
    return [_usage(*row) for row in tx.rows(statement, used)]


def reset(tx: Tx, name: str, *, by: str | None = None, resource: str | None = None) -> int:
    """Forget what was used of a limit, of one user's or resource's alone where given; returns how many counters."""
    statement, used = statements.RESET.given(name=rules.check_name(name), user=by, resource=resource)
    return tx.run(statement, used)


def cleanup(tx: Tx, *, days: float = 35) -> int:
    """Remove counters of periods that ended so many days ago, and buckets that are full; returns how many.

    Raises:
        InvalidInput: the period is negative.
    """
    if not 0 <= days <= LONGEST_KEPT:
        message = f"Ended periods are kept for 0 to {LONGEST_KEPT} days."
        raise InvalidInput(message, field="days")
    return tx.run(statements.FORGET, {"keep": int(days * DAY)})


def allowed(decision: Decision) -> Decision:
    """Return a decision that is none of refusal; raises LimitExceeded for one that is."""
    if not decision.allowed:
        raise LimitExceeded(limit=decision.name, retry_at=decision.retry_at, retry_after=decision.retry_after)
    return decision


def state(tx: Tx, key: Mapping[str, str]) -> Count:
    """Return a counter as it stands now, also one that nobody has used.

    Raises:
        NotFound, InvalidInput: as `try_consume`.
    """
    return _defined(tx, key)[0]


def _defined(tx: Tx, key: Mapping[str, str]) -> tuple[Count, str]:
    row = tx.row(statements.STATE, key)
    if row is None:
        message = "No such limit is defined."
        raise NotFound(message, hint="define it first with limits.define(...)", limit=key["name"])
    *count, each = row
    for field, named in (("by", key["user"]), ("resource", key["resource"])):
        if not named and ("user" if field == "by" else field) in each:
            message = f"This limit is counted for each {each}."
            raise InvalidInput(message, field=field)
    return Count(*count), each


def _usage(name: str, user: str, resource: str, *numbers: int) -> Usage:
    count = Count(*numbers)
    told = rules.decision(name, count, 1, allowed=True)
    used = -(-count.used // count.parts)
    return Usage(name, user or None, resource or None, used, told.limit, told.remaining, told.resets_at)
