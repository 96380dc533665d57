"""Limits whose counters are in Redis: the definitions stay in the database, and each call is one script there.

Inside a transaction a call is made at once, and made good again, as far as Redis answers, if that is rolled back.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from undercroft.core.operation import operation
from undercroft.core.pages import check_limit as check_page
from undercroft.core.runtime.base import Ports
from undercroft.core.runtime.ports import Undo
from undercroft.core.tx import Tx
from undercroft.limits import ops, rules, statements
from undercroft.limits.lease import Source
from undercroft.limits.records import Decision, Limit, Usage
from undercroft.limits.redis_rules import COUNTERS, MOST, STATE, Counter, Definition, Listed, defined, known, numbers
from undercroft.limits.taking import Take, decisions


def definition(tx: Tx, name: str) -> Definition | None:
    """Find a limit's definition, which a process may remember."""
    return next(iter(definitions(tx, rules.check_name(name))), None)


def definitions(tx: Tx, name: str | None = None) -> list[Definition]:
    """List the definitions, by name."""
    statement, used = statements.DEFINED.given(name=name)
    return [defined(tx.tenant_id, Limit(*row)) for row in tx.rows(statement, used)]


_DEFINITION = operation(definition, access="point")
_DEFINITIONS = operation(definitions, access="read")
_REMOVE = operation(ops.remove)


_GRANTED = ord("1")


def call(verb: str, counter: Counter, *arguments: str | int) -> tuple[Any, ...]:
    """Return a call of the script that is about one counter."""
    return COUNTERS, counter.keys, (verb, *counter.arguments, *arguments)


def outcomes(counter: Counter, takes: Sequence[Take], told: bytes) -> list[Decision]:
    """Tell each what became of his take, when all of them were made in one call."""
    served = [number for number, granted in enumerate(told[STATE:]) if granted == _GRANTED]
    return decisions(takes, counter.definition.count(told), served)


def take(ports: Ports, limited: Definition, wanted: Take) -> Decision:
    """Take units, all of them or none."""
    counter = limited.counter(wanted.by, wanted.resource)
    told = ports.script(*call("take", counter, wanted.units))
    [decision] = outcomes(counter, [wanted], told)
    _undo(ports, [(counter, decision)])
    return decision


def take_some(
    ports: Ports, name: str, *, most: int, least: int, by: str | None = None, resource: str | None = None
) -> Decision:
    """Take as many units as there are, from ``least`` to ``most``; what is refused is refused for the least."""
    counter = _defined(ports, name).counter(by, resource)
    told = ports.script(*call("some", counter, most, least))
    count, granted = counter.definition.count(told), numbers(told)[0]
    return rules.decision(name, count, granted or least, allowed=granted > 0, user=by, resource=resource)


def consume_all(
    ports: Ports, units: Mapping[str, int], *, by: str | None = None, resource: str | None = None
) -> list[Decision]:
    """Take of several limits at once: all of them or none; see `ops.consume_all`."""
    names = sorted(units)
    counters = [_defined(ports, name).counter(by, resource) for name in names]
    wanted = [rules.check_units(units[name]) for name in names]
    if not counters:
        return []
    keys = [key for counter in counters for key in counter.keys]
    arguments = [it for one, asked in zip(counters, wanted, strict=True) for it in (*one.arguments, asked)]
    told = ports.script(COUNTERS, keys, ("all", *arguments))
    [short] = numbers(told, len(counters))
    taken = [
        rules.decision(
            counter.definition.name,
            counter.definition.count(told, number * STATE),
            asked,
            allowed=number + 1 != short,
            user=by,
            resource=resource,
        )
        for number, (counter, asked) in enumerate(zip(counters, wanted, strict=True))
    ]
    if short:
        ops.allowed(taken[short - 1])
    _undo(ports, list(zip(counters, taken, strict=True)))
    return taken


def check(ports: Ports, name: str, *, units: int = 1, by: str | None = None, resource: str | None = None) -> Decision:
    """Tell whether units could be taken now, and take nothing; see `ops.check`."""
    counter = _defined(ports, name).counter(by, resource)
    rules.check_units(units)
    count = counter.definition.count(ports.script(*call("look", counter)))
    allowed = rules.remaining(count) >= units
    return rules.decision(name, count, units, allowed=allowed, user=by, resource=resource)


def refund(
    ports: Ports,
    taken: Decision | str,
    *,
    units: int | None = None,
    by: str | None = None,
    resource: str | None = None,
) -> Decision:
    """Give units back, at most as many as are used; see `ops.refund`. A period that has ended is gone."""
    period: str | int = ""
    if isinstance(taken, Decision):
        name, by, resource, period = taken.name, taken.user, taken.resource, taken.period
        units = taken.units if units is None else units
    else:
        name = taken
    counter = _defined(ports, name).counter(by, resource)
    units = rules.check_units(1 if units is None else units)
    back = units if not isinstance(taken, Decision) or taken.allowed else 0
    told = ports.script(*call("give", counter, period, back, 0))
    count, given = counter.definition.count(told), numbers(told)
    again = call("give", counter, count.period, *(-number for number in given))
    ports.undo(_calling(again))
    return rules.decision(name, count, units, allowed=True, user=by, resource=resource)


def usage(
    ports: Ports, name: str | None = None, *, by: str | None = None, resource: str | None = None, limit: int = 100
) -> list[Usage]:
    """List what is used at this moment; see `ops.usage`."""
    wanted = check_page(limit)
    found: list[Usage] = []
    for limited in ports.run(_DEFINITIONS, name):
        for batch in _batches(_listed(ports, limited, by, resource)):
            if len(found) < wanted:
                keys = [limited.root + one.member for one in batch]
                states = ports.script(COUNTERS, keys, ("show", *(one.length for one in batch)))
                found += [one.usage(limited.name, state) for one, state in zip(batch, states, strict=True) if state]
    return found[:wanted]


def reset(ports: Ports, name: str, *, by: str | None = None, resource: str | None = None) -> int:
    """Forget what was used of a limit, at once even inside a transaction; see `ops.reset`."""
    limited = ports.run(_DEFINITION, name)
    return 0 if limited is None else _forget(ports, limited, by, resource)


def remove(ports: Ports, name: str) -> bool:
    """Remove a limit with all that was used of it; tells whether there was one."""
    limited = ports.run(_DEFINITION, name)
    there: bool = ports.run(_REMOVE, name)
    if limited is not None:
        _forget(ports, limited, None, None)
    return there


def _forget(ports: Ports, limited: Definition, by: str | None, resource: str | None) -> int:
    gone = 0
    for batch in _batches(_listed(ports, limited, by, resource)):
        keys = [*(limited.root + one.member for one in batch), limited.index]
        gone += ports.script(COUNTERS, keys, ("drop", *(one.member for one in batch)))
    return gone


def _listed(ports: Ports, limited: Definition, by: str | None, resource: str | None) -> list[Listed]:
    """Return the counters of a limit, by user and resource."""
    members = map(Listed.read, ports.script(COUNTERS, (limited.index,), ("list",)))
    wanted = (
        one for one in members if (by is None or one.user == by) and (resource is None or one.resource == resource)
    )
    return sorted(wanted, key=lambda one: (one.user, one.resource, one.member))


def _batches(listed: Sequence[Listed]) -> Iterator[Sequence[Listed]]:
    return (listed[first : first + MOST] for first in range(0, len(listed), MOST))


def _defined(ports: Ports, name: str) -> Definition:
    return known(ports.run(_DEFINITION, name), name)


def _undo(ports: Ports, taken: Sequence[tuple[Counter, Decision]]) -> None:
    """Have units given back if the transaction is rolled back."""
    for counter, decision in taken:
        if decision.allowed:
            back = call("give", counter, decision.period, decision.units, 0)
            ports.undo(_calling(back))


def _calling(back: tuple[Any, ...]) -> Undo:
    return lambda outside: outside.script(*back)


SOURCE = Source(take_some, refund)
"""Where leases take blocks from."""
