"""`undercroft results`: whether the cache of results helps."""

from dataclasses import asdict
from typing import Annotated

import typer

from undercroft.cli.cells import Share, Size
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing
from undercroft.cli.sparkline import sparkline

_COLUMNS = ("hits", "misses", "uncacheable", "evicted", "invalidated")


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    results = group("The cache of what queries returned.")
    command(results, "stats")(stats)
    command(results, "efficiency")(efficiency)
    app.add_typer(results, name="results")


def stats(call: Invocation) -> None:
    """Tell what the cache holds, and what it did since it was first used."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.results.stats()
    asked = found.hits + found.misses
    facts = {
        "Entries": (found.entries, *([f"{found.expired:,} of them expired"] if found.expired else [])),
        "Size": Size(found.bytes),
        "Hit rate": Share(found.hits / asked if asked else None),
        "Hits": (found.hits, "answered without the warehouse"),
        "Misses": found.misses,
        "Uncacheable": (found.uncacheable, "no single read, or not to be parsed"),
        "Evicted": (found.evicted, "made room for others"),
        "Invalidated": found.invalidated,
    }
    call.out.show({"tenant": scope.key, **asdict(found)}, Facts(facts, title="Cached results"))


def efficiency(
    call: Invocation, *, days: Annotated[int, typer.Option(metavar="DAYS", help="How many, with today.")] = 7
) -> None:
    """Tell for each day how many questions the cache answered; a running bot writes its counts down each minute."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.results.efficiency(days=days)
    rows = [
        [f"{one.day:%Y-%m-%d}", Share(one.hit_rate), *(getattr(one, column) for column in _COLUMNS)] for one in found
    ]
    answer = {"tenant": scope.key, "days": [{**asdict(one), "hit_rate": one.hit_rate} for one in found]}
    listing = Listing(["day", "hit rate", *_COLUMNS], rows, empty="nothing was asked of the cache")
    if call.out.is_for_people and len(found) > 1:
        shape = sparkline({one.day: one.hits for one in found})
        call.out.show(answer, Facts({"Hits by day": shape}), listing)
    else:
        call.out.show(answer, listing)
