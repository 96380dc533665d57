"""`undercroft meetings`: which meetings there are, and how each came on."""

from dataclasses import asdict
from typing import Annotated, Literal
from uuid import UUID

import typer

from undercroft.cli import moments
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.names import shown_names
from undercroft.cli.output import Facts, Listing

_State = Literal["received", "transcribed", "summarised", "pushed", "failed", "cancelled"]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    meetings = group("Meetings on their way into the CRM.")
    command(meetings, "list")(list_)
    command(meetings, "show")(show)
    app.add_typer(meetings, name="meetings")


def list_(
    call: Invocation,
    *,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Whose, by the platform's id.")] = None,
    state: Annotated[_State | None, typer.Option(help="In which state.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not before, such as 2024-05-17 or 30d.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Not after; a day that is named is in.")] = None,
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 50,
) -> None:
    """List meetings, the latest taken in first."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.meetings.list(
            user=user,
            state=state,
            since=None if since is None else moments.since(since),
            until=None if until is None else moments.until(until),
            limit=limit,
        )
        counted = scope.meetings.stats()
        names = shown_names(scope, (one.user for one in found))
    columns = ["taken in", "user", "title", "state", "tries", "error", "id"]
    rows = [
        [
            *(one.created_at, names[one.user] or None, one.title or None, one.state),
            *(one.attempts or None, one.error, str(one.id)),
        ]
        for one in found
    ]
    answer = {"tenant": scope.key, "states": counted, "meetings": [asdict(one) for one in found]}
    call.out.show(answer, Listing(columns, rows, empty="no meeting", cut=["user", "title", "error"]))


def show(
    call: Invocation, meeting: Annotated[UUID, typer.Argument(metavar="ID", help="As `meetings list` shows it.")]
) -> None:
    """Show a meeting, and the states it came through."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.meetings.get(meeting)
        changes = scope.meetings.history(meeting)
        name = shown_names(scope, [found.user])[found.user]
    facts = {
        "Meeting": (found.title or found.native_id, *([found.source] if found.source else [])),
        "User": name or None,
        "Began": found.started_at,
        "State": (found.state, *([f"failed when it was {found.failed_from}"] if found.failed_from else [])),
        "Held until": found.held_until,
        "Tries": found.attempts,
        "Transcript": found.transcript,
        "Summary": found.summary,
        "To do": "\n".join(map(str, found.action_items or [])) or None,
        "In the CRM": found.crm_external_id,
    }
    rows = [[change.at, change.state, change.error] for change in changes]
    answer = {"tenant": scope.key, "meeting": asdict(found), "history": [asdict(change) for change in changes]}
    call.out.show(answer, Facts(facts), Listing(["when", "state", "error"], rows, wide=["error"]))
