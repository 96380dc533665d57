"""`undercroft crm`: which CRMs are connected, and whose account an address is."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

import typer

from undercroft import Connection
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Listing


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    crm = group("Connections to CRMs, and the accounts that e-mail domains belong to.")
    command(crm, "list")(list_)
    command(crm, "accounts")(accounts)
    app.add_typer(crm, name="crm")


def list_(
    call: Invocation,
    *,
    every: Annotated[bool, typer.Option("--all", metavar="", help="Those that are disconnected, too.")] = False,
) -> None:
    """List the connections, the oldest first; where their secrets lie, and never a secret."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.crm.list(include_disconnected=every)
    columns = ["crm", "name", "default", "secret in", "by", "connected", "disconnected", "id"]
    rows = [_row(one) for one in found]
    answer = {"tenant": scope.key, "connections": [asdict(one) for one in found]}
    call.out.show(answer, Listing(columns, rows, empty="no CRM is connected", cut=["name", "secret in", "by"]))


def accounts(
    call: Invocation,
    *,
    connection: Annotated[UUID | None, typer.Option(metavar="ID", help="Of which one; else of the default.")] = None,
    suggested: Annotated[bool, typer.Option("--suggested", metavar="", help="Only what nobody has verified.")] = False,
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 100,
) -> None:
    """List whose account in the CRM each e-mail domain is, in their order."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.crm.accounts(connection=connection, verified=False if suggested else None, limit=limit)
    columns = ["domain", "account", "name", "verified", "by", "since"]
    rows = [
        [one.email_domain, one.account_id, one.account_name or None, one.verified, one.mapped_by, one.updated_at]
        for one in found
    ]
    answer = {"tenant": scope.key, "accounts": [asdict(one) for one in found]}
    call.out.show(answer, Listing(columns, rows, empty="nothing is mapped", cut=["domain", "name", "by"]))


def _row(one: Connection) -> list[Any]:
    told = [one.provider, one.name or None, one.is_default, one.credentials or None, one.connected_by]
    return [*told, one.connected_at, one.disconnected_at, str(one.id)]
