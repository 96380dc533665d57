"""`undercroft users`: who is active, and who may ask which database."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.names import shown_names
from undercroft.cli.output import Facts, Listing

_USER = Annotated[str, typer.Argument(metavar="USER", help="The platform's id, such as U2147483697.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    users = group("Who is active, and who may ask which database.")
    command(users, "activity")(activity)
    command(users, "access")(access)
    command(users, "allow")(allow)
    command(users, "disallow")(disallow)
    app.add_typer(users, name="users")


def activity(
    call: Invocation,
    *,
    days: Annotated[float | None, typer.Option(metavar="DAYS", help="Only who did something since.")] = None,
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 50,
) -> None:
    """Tell what each user asked, the latest active first."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.queries.activity(days=days, limit=limit)
        names = shown_names(scope, (one.user for one in found))
    columns = ["user", "id", "asked", "failed", "sessions", "open", "last active"]
    rows = [
        [names[one.user], one.user, one.queries, one.errors, one.sessions, one.active_sessions, one.last_activity_at]
        for one in found
    ]
    answer = {"tenant": scope.key, "users": [asdict(one) for one in found]}
    call.out.show(answer, Listing(columns, rows, empty="nobody has asked anything", cut=["user"]))


def access(call: Invocation, user: _USER) -> None:
    """Show as whom a user asks databases, and which."""
    with call.store() as store:
        scope = call.scope(store)
        _show(call, scope.key, scope.users.database_mapping(user))


def allow(
    call: Invocation,
    user: _USER,
    databases: Annotated[list[str], typer.Argument(metavar="DATABASE...", help="Their names, `*` for all.")],
    *,
    login: Annotated[str, typer.Option(metavar="NAME", help="The database's user as whom he asks.")] = "reader",
    role: Annotated[str, typer.Option(metavar="NAME", help="The database's role, where it has such.")] = "",
    permission: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="What he may do, `read` without; may be repeated.")
    ] = None,
) -> None:
    """Let a user ask databases, these and no others; it is written down in the audit trail."""
    with call.store() as store:
        scope = call.scope(store)
        made = scope.users.map_database(
            user, database_user=login, role=role, allowed_databases=databases, permissions=permission or ["read"]
        )
    _show(call, scope.key, made)


def disallow(call: Invocation, user: _USER) -> None:
    """Let a user ask no database any more; it is written down in the audit trail."""
    with call.store() as store:
        scope = call.scope(store)
        removed = scope.users.unmap_database(user)
    told = "can ask nothing any more" if removed else "could ask nothing before"
    call.out.show({"tenant": scope.key, "user": user, "removed": removed}, Facts({user: told}))


def _show(call: Invocation, tenant: str, mapping: Any) -> None:
    facts = {
        "User": mapping.native_id,
        "Databases": ", ".join(mapping.allowed_databases),
        "Asks as": mapping.database_user,
        "Role": mapping.role or None,
        "May": ", ".join(mapping.permissions),
        "Since": mapping.updated_at,
    }
    call.out.show({"tenant": tenant, "access": asdict(mapping)}, Facts(facts))
