"""`undercroft queries`: who asked what, how it ended, and how long it took."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from undercroft.cli import moments
from undercroft.cli.cells import Duration, Share, harmless, plain, shown
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.names import asker_id, shown_names
from undercroft.cli.output import Facts, Listing
from undercroft.cli.sparkline import sparkline

_Status = Literal["running", "success", "failed", "cancelled", "declined", "abandoned"]
_COLORS = {"success": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}
_WHO = "Who asked, by id or name."


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    queries = group("Questions asked and the SQL run for them.")
    command(queries, "history")(history)
    command(queries, "performance")(performance)
    app.add_typer(queries, name="queries")


def history(
    call: Invocation,
    *,
    user: Annotated[str | None, typer.Option(metavar="WHO", help=_WHO)] = None,
    status: Annotated[_Status | None, typer.Option(help="How it ended.")] = None,
    database: Annotated[str | None, typer.Option(metavar="NAME", help="What was asked.")] = None,
    sql: Annotated[str | None, typer.Option(metavar="TEXT", help="Who ran this SQL: its very text.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not before, such as 2024-05-17 or 30d.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Not after; a day that is named is in.")] = None,
    long: Annotated[bool, typer.Option("--long", "-l", metavar="", help="Show SQL and errors in full.")] = False,
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 20,
) -> None:
    """Tell who asked what, the latest first."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.queries.history(
            user=None if user is None else asker_id(scope, user),
            status=status,
            database=database,
            sql=sql,
            since=None if since is None else moments.since(since),
            until=None if until is None else moments.until(until),
            limit=limit,
        )
        names = shown_names(scope, (query.user for query in found))
    answer = {"tenant": scope.key, "queries": [asdict(query) for query in found]}
    call.out.show(answer, History(found, names, long))
    if len(found) == limit:
        call.out.say(Text(f"\n  The latest {limit}: --limit shows more.", style="dim"))


def performance(
    call: Invocation, *, hours: Annotated[float, typer.Option(metavar="HOURS", help="How far back.")] = 24
) -> None:
    """Tell for each hour how many questions there were, how they ended and how long they took."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.queries.performance(hours=hours)
    asked, failed = (sum(getattr(one, name) for one in found) for name in ("queries", "errors"))
    by_hour = {name: {one.hour: getattr(one, name) or 0 for one in found} for name in ("queries", "p95_ms")}
    curves = {name: [sparkline(counts, step=timedelta(hours=1))] for name, counts in by_hour.items() if counts}
    slowest = [one.p95_ms for one in found if one.p95_ms is not None]
    facts = {
        "Questions": (asked, *curves.get("queries", [])),
        "Failed": (failed, *([str(shown(Share(failed / asked)))] if asked else [])),
        "Worst p95": (_time(max(slowest, default=None)), *curves.get("p95_ms", [])),
    }
    columns = ["hour", "questions", "failed", "cancelled", "declined", "median", "p95"]
    rows = [
        [one.hour, one.queries, one.errors, one.cancelled, one.declined, _time(one.p50_ms), _time(one.p95_ms)]
        for one in found
    ]
    answer = {"tenant": scope.key, "hours": [asdict(one) for one in found]}
    listing = Listing(columns, rows, empty="nobody has asked anything")
    if call.out.is_for_people and found:
        call.out.show(answer, Facts(facts, title=f"The last {hours:g} hours"), listing)
    else:
        call.out.show(answer, listing)


@dataclass(frozen=True, slots=True)
class History:
    """Questions, with the names of those who asked."""

    queries: Sequence[Any]
    names: Mapping[str | None, str]
    long: bool

    def rich(self) -> RenderableType:
        """Return two lines a question: how it went, and what was asked; below them why it failed."""
        if not self.queries:
            return Text("  no question is recorded", style="dim")
        width = min(_NAME, max(cell_len(plain(self.names[query.user])) for query in self.queries))
        return Group(*(part for query in self.queries for part in self._parts(query, width)))

    def lines(self) -> list[Sequence[Any]]:
        """Return id, time, user, database, status, seconds, rows, question, SQL and error."""
        return [
            [
                *(query.id, query.started_at, query.user, query.database, query.status),
                *(_time(query.execution_time_ms), query.row_count, query.question, query.sql, query.error),
            ]
            for query in self.queries
        ]

    def _parts(self, query: Any, width: int) -> list[RenderableType]:
        took = shown(_time(query.execution_time_ms))
        rows = "" if query.row_count is None else f"{query.row_count:,} rows"
        head = Text.assemble(
            (str(shown(query.started_at)), "dim"),
            (f"  {set_cell_size(plain(self.names[query.user]), width)}", "bold"),
            (f"  {query.status:<9}", _COLORS.get(query.status, "dim")),
            (f"  {took:>7}  {rows:>10}  {plain(query.database)}", "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )
        said = [(query.question, "")]
        said += [(query.sql, "cyan")] if self.long else []
        said += [(query.error, "red" if query.status == "failed" else "dim")]
        said += [(f"{query.id}  {plain(query.user)}", "dim")] if self.long else []
        body = [
            Text(harmless(text) if self.long else plain(text), style, no_wrap=not self.long, overflow="ellipsis")
            for text, style in said
            if text
        ]
        return [Padding(head, (0, 0, 0, 2)), *(Padding(part, (0, 0, 0, 4)) for part in body)]


_NAME = 16
"""The widest that a name is shown."""


def _time(milliseconds: int | None) -> Duration | None:
    return None if milliseconds is None else Duration(milliseconds / 1000)
