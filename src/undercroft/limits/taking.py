"""Taking of a limit. Takes of one counter that wait for each other in a process are taken together.

So a counter that everybody asks at once is locked and written once for all of them, and not in turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from undercroft.core.tx import Tx
from undercroft.limits import ops, rules, statements
from undercroft.limits.records import Decision
from undercroft.limits.rules import Count


@dataclass(frozen=True, slots=True)
class Take:
    """What a caller wants: all of its units or none."""

    name: str
    units: int
    by: str | None
    resource: str | None


def counter(take: Take) -> tuple[str, str | None, str | None]:
    """Return what takes of one counter have in common."""
    return take.name, take.by, take.resource


def try_consume(name: str, *, units: int = 1, by: str | None = None, resource: str | None = None) -> Take:
    """Take units of a limit, all of them or none, and tell whether they were taken.

    It is decided in one statement, by the database's clock. ``by`` is a user and ``resource`` anything else that is
    counted apart; where the limit does not tell them apart they change nothing. A coroutine that is cancelled while it
    waits may have taken its units.

    Raises:
        NotFound: no such limit is defined.
        InvalidInput: the limit is each user's or each resource's, and none is given; units are no positive number.
    """
    return Take(rules.check_name(name), rules.check_units(units), by, resource)


def consume(name: str, *, units: int = 1, by: str | None = None, resource: str | None = None) -> Take:
    """Take units of a limit, or raise; see `try_consume`.

    Inside a transaction it takes part in it and is undone with it. Take limits first there, then touch data: whoever
    holds a counter makes all others of it wait.

    Raises:
        LimitExceeded: there are not as many left; ``retry_at`` and ``retry_after`` tell when there will be.
        NotFound, InvalidInput: as `try_consume`.
    """
    return Take(rules.check_name(name), rules.check_units(units), by, resource)


def take_together(tx: Tx, takes: Sequence[Take]) -> list[Decision]:
    """Take for all who ask one counter, in the order they came; those who can be served share one upsert."""
    name, by, resource = counter(takes[0])
    if len(takes) == 1:
        return [ops.take(tx, name, units=takes[0].units, by=by, resource=resource)]
    key = {"name": name, "user": by or "", "resource": resource or ""}
    served = list(range(len(takes)))
    while True:
        row = tx.row(statements.TAKE, {**key, "units": sum(takes[number].units for number in served)})
        if row is not None:
            return decisions(takes, Count(*row), served)
        count = ops.state(tx, key)
        served = _served(takes, rules.remaining(count))
        if not served:
            return decisions(takes, count, served)


def _served(takes: Sequence[Take], free: int) -> list[int]:
    """Return which takes are served of so many units; a small one is, though a larger one before it is not."""
    served: list[int] = []
    for number, one in enumerate(takes):
        if one.units <= free:
            free -= one.units
            served.append(number)
    return served


def decisions(takes: Sequence[Take], count: Count, served: list[int]) -> list[Decision]:
    """Tell each how the counter stood when its turn had come."""
    granted, after = set(served), sum(takes[number].units for number in served)
    told: list[Decision] = []
    for number, one in enumerate(takes):
        allowed = number in granted
        after -= one.units if allowed else 0
        stood = replace(count, used=count.used - after * count.parts)
        told.append(rules.decision(one.name, stood, one.units, allowed=allowed, user=one.by, resource=one.resource))
    return told
