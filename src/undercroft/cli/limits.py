"""`undercroft limits`: how much each may use, and what was used of it."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from undercroft.cli.confirm import confirm
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.names import shown_names
from undercroft.cli.output import Facts, Listing

_Per = Literal["second", "minute", "hour", "day", "month"]
_Each = Literal["tenant", "user", "resource", "user and resource"]
_NAME = Annotated[str, typer.Argument(metavar="NAME", help="The limit, such as `sql`.")]
_USER = Annotated[str | None, typer.Option("--user", metavar="ID", help="Of this user alone, by the platform's id.")]
_RESOURCE = Annotated[str | None, typer.Option("--resource", metavar="NAME", help="Of this resource alone.")]
_YES = Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    limits = group("Rates, quotas and budgets, and what was used of them.")
    command(limits, "list")(list_)
    command(limits, "usage")(usage)
    command(limits, "define")(define)
    command(limits, "remove")(remove)
    command(limits, "reset")(reset)
    app.add_typer(limits, name="limits")


def list_(call: Invocation) -> None:
    """List the limits."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.limits.list()
    rows = [[one.name, one.amount, one.per, one.kind, one.burst, one.each] for one in found]
    answer = {"tenant": scope.key, "limits": [asdict(one) for one in found]}
    columns = ["limit", "amount", "per", "kind", "at once", "for each"]
    call.out.show(answer, Listing(columns, rows, empty="nothing is limited", cut=["limit"]))


def usage(
    call: Invocation,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of this limit alone.")] = None,
    *,
    user: _USER = None,
    resource: _RESOURCE = None,
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 50,
) -> None:
    """Tell what is used at this moment."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.limits.usage(name, by=user, resource=resource, limit=limit)
        names = shown_names(scope, (one.user for one in found))
    rows = [
        [one.name, names[one.user] or None, one.resource, one.used, one.limit, one.remaining, one.resets_at]
        for one in found
    ]
    answer = {"tenant": scope.key, "usage": [asdict(one) for one in found]}
    columns = ["limit", "user", "resource", "used", "of", "left", "free again"]
    call.out.show(answer, Listing(columns, rows, empty="nothing is used", cut=columns[:3]))


def define(
    call: Invocation,
    name: _NAME,
    amount: Annotated[int, typer.Argument(metavar="AMOUNT", help="How many units; count money in cents.")],
    per: Annotated[_Per, typer.Argument(metavar="PER", help="second, minute, hour, day or month, of UTC.")],
    *,
    kind: Annotated[
        Literal["period", "bucket"], typer.Option(help="Whether all is free again when a period begins, or evenly.")
    ] = "period",
    burst: Annotated[int | None, typer.Option(metavar="COUNT", help="How many a bucket holds, AMOUNT without.")] = None,
    each: Annotated[_Each, typer.Option(help="Who has a count of his own.")] = "tenant",
) -> None:
    """Define a limit, or change it; what was used stays used."""
    with call.store() as store:
        scope = call.scope(store)
        made = scope.limits.define(name, amount, per=per, kind=kind, burst=burst, each=each)
    facts = {"Limit": made.name, "Amount": (made.amount, f"each {made.per}"), "Kind": made.kind}
    facts |= {"At once": made.burst, "For each": made.each}
    call.out.show({"tenant": scope.key, "limit": asdict(made)}, Facts(facts))


def remove(call: Invocation, name: _NAME, *, yes: _YES = False) -> None:
    """Remove a limit with all that was used of it: nothing is limited by it any more, and who asks it fails."""
    if not yes:
        confirm(call.out, f"Remove the limit {name} and what was used of it?")
    with call.store() as store:
        scope = call.scope(store)
        removed = scope.limits.remove(name)
    told = "removed" if removed else "there was none"
    call.out.show({"tenant": scope.key, "limit": name, "removed": removed}, Facts({name: told}))


def reset(call: Invocation, name: _NAME, *, user: _USER = None, resource: _RESOURCE = None, yes: _YES = False) -> None:
    """Forget what was used of a limit, so that all of it is free."""
    if not yes:
        confirm(call.out, f"Forget what was used of {name}?")
    with call.store() as store:
        scope = call.scope(store)
        counters = scope.limits.reset(name, by=user, resource=resource)
    call.out.show({"tenant": scope.key, "limit": name, "counters": counters}, Facts({"Limit": name, "Freed": counters}))
