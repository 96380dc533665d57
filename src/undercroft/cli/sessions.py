"""`undercroft sessions`: who is at what."""

from dataclasses import asdict
from typing import Annotated

import typer

from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.names import asker_id, shown_names
from undercroft.cli.output import Listing


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    sessions = group("What each user is at, in each channel.")
    command(sessions, "list")(list_)
    app.add_typer(sessions, name="sessions")


def list_(
    call: Invocation,
    *,
    user: Annotated[str | None, typer.Option(metavar="WHO", help="Whose, by id or name.")] = None,
    channel: Annotated[str | None, typer.Option(metavar="ID", help="In which channel.")] = None,
    ended: Annotated[bool, typer.Option("--ended", metavar="", help="Ended ones too.")] = False,
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 100,
) -> None:
    """List the active sessions, the latest started first."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.sessions.list(
            user=None if user is None else asker_id(scope, user),
            channel=channel,
            active=not ended,
            limit=limit,
        )
        names = shown_names(scope, (one.user for one in found))
    rows = [
        [
            *(names[one.user], one.channel or None, one.current_database, one.started_at),
            one.ended_at if ended else one.last_activity_at,
        ]
        for one in found
    ]
    cut = ["user", "channel", "database"]
    columns = [*cut, "started", "ended" if ended else "last active"]
    answer = {"tenant": scope.key, "sessions": [asdict(one) for one in found]}
    call.out.show(answer, Listing(columns, rows, empty="nobody is at anything", cut=cut))
