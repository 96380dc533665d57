"""`undercroft metrics`: what was measured, and what it adds up to."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

import typer

from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing
from undercroft.cli.sparkline import sparkline

_NAME = Annotated[str, typer.Argument(metavar="NAME", help="Of the metric.")]
_HOURS = Annotated[float, typer.Option(metavar="H", help="The last so many hours.")]
_BY = Annotated[str, typer.Option(metavar="BUCKET", help="By `minute`, `hour` or `day`.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    metrics = group("What was measured.")
    command(metrics, "list")(list_)
    command(metrics, "show")(show)
    app.add_typer(metrics, name="metrics")


def list_(call: Invocation, *, hours: _HOURS = 24) -> None:
    """List what was measured."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.metrics.list(hours=hours)
    rows = [[one.name, one.unit, one.count, *map(_number, (one.mean, one.min, one.max)), one.last_at] for one in found]
    columns = ["name", "unit", "count", "mean", "min", "max", "last"]
    call.out.show({"metrics": [asdict(one) for one in found]}, Listing(columns, rows, empty="nothing was measured"))


def show(call: Invocation, name: _NAME, *, hours: _HOURS = 24, by: _BY = "hour") -> None:
    """Show what a metric did: counts, means, percentiles."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.metrics.summary(name, hours=hours, bucket=by)
    columns = ["from", "count", "mean", "min", "max", "p50", "p95", "p99"]
    rows = [
        [one.start, one.count, *map(_number, (one.mean, one.min, one.max, one.p50, one.p95, one.p99))]
        for one in found.buckets
    ]
    facts: dict[str, Any] = {"Metric": found.name, "Unit": found.unit}
    if found.total is not None:
        facts |= {"Count": found.total.count, "A second": _number(found.total.rate), "Mean": _number(found.total.mean)}
        facts |= {"p50, p95, p99": ", ".join(map(_number, (found.total.p50, found.total.p95, found.total.p99)))}
    if len(rows) > 1 and call.out.is_for_people and call.out.console.encoding.startswith("utf"):
        facts["Activity"] = _curve(found.buckets)
    call.out.show(asdict(found), Facts(facts), Listing(columns, rows, empty="nothing was measured"))


def _number(value: float) -> str:
    return f"{value:.4g}"


def _curve(buckets: Sequence[Any]) -> str:
    """Draw how many measurements there were, each bucket as a day of its own."""
    first = buckets[0]
    places = {round((one.start - first.start).total_seconds() / first.seconds): one.count for one in buckets}
    return sparkline({date.fromordinal(place + 1): count for place, count in places.items()})
