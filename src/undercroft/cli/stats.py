"""`undercroft stats` and `undercroft health`: what is in the database, and whether it answers."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from undercroft import Store, TenantScope
from undercroft.cli.cells import Duration, Size
from undercroft.cli.failures import DATABASE
from undercroft.cli.invocation import Invocation, command
from undercroft.cli.output import Facts, Listing, Output, Section
from undercroft.cli.sparkline import sparkline

_COUNTED = 20
_TABLES = Annotated[bool, typer.Option("--tables", metavar="", help="Show every table.")]
_COLUMNS = ("tenant", "name", "users", "channels", "messages", "last_message_at")


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    command(app, "stats")(stats)
    command(app, "health")(health)


def stats(call: Invocation, *, tables: _TABLES = False) -> None:
    """Count what the database holds: of one tenant everything, of several the messages of the first 20."""
    with call.store() as store:
        tenants = list(tenant_counts(call, store))
        shape = curve(call.out, store.tenant(tenants[0]["tenant"])) if len(tenants) == 1 else None
        info = store.info()
        fleet = None if call.tenant else store.stats()
    sections = [tenant_section(tenants, shape)]
    database: dict[str, Any] = {
        "Database": call.shown_database,
        "Engine": f"{info.engine} {info.server_version}",
        "Size": Size(info.bytes),
    }
    if fleet is not None:
        deleted = [f"and {fleet.deleted_tenants:,} deleted"] if fleet.deleted_tenants else []
        database["Tenants"] = (fleet.tenants, *deleted)
    sections.append(Facts(database, title="Database"))
    if tables and fleet is not None:
        sections.append(_table_section(fleet.tables))
    answer = {"tenants": tenants, "database": asdict(info), "fleet": None if fleet is None else asdict(fleet)}
    call.out.show(answer, *sections)


def health(call: Invocation, *, tables: _TABLES = False) -> None:
    """Ask the database whether it answers; where it does not, the exit code is 3."""
    with call.store(opened=False) as store:
        found = store.health()
    sections = [health_section(call.database, found)]
    if tables:
        sections.append(_table_section(found.tables))
    call.out.show({"database": call.database, **asdict(found)}, *sections)
    if found.status != "healthy":
        raise typer.Exit(DATABASE)


def tenant_counts(call: Invocation, store: Store) -> Iterator[dict[str, Any]]:
    """Yield the counts of the tenant that was named, else of the first 20; the default one only where it has any."""
    if call.tenant is not None:
        yield counted(store.tenant(call.tenant), None)
        return
    tenants = store.tenants.list(limit=_COUNTED)
    for tenant in tenants:
        counts = counted(store.tenant(tenant.key), tenant.name)
        is_empty = not (counts["users"] or counts["messages"])
        if tenant.key != store.default.key or len(tenants) == 1 or not is_empty:
            yield counts


def counted(scope: TenantScope[Any], name: str | None) -> dict[str, Any]:
    """Count what one tenant holds, with the three who wrote most."""
    most = [
        {"author": one.author, "author_name": one.author_name, "messages": one.messages}
        for one in scope.archive.activity(limit=3)
    ]
    return {"tenant": scope.key, "name": name, **asdict(scope.stats()), "most_active": most}


def curve(out: Output, scope: TenantScope[Any]) -> str | None:
    """Return how many messages there were from the first day to the last, drawn for people."""
    if not (out.is_for_people and out.console.encoding.startswith("utf")):
        return None
    return sparkline({one.day: one.messages for one in scope.archive.daily()})


def tenant_section(tenants: list[dict[str, Any]], shape: str | None = None) -> Section:
    """Return the counts of one tenant in full, of several as a table."""
    if len(tenants) != 1:
        rows = [[one[column] for column in _COLUMNS] for one in tenants]
        return Listing([_said(column) for column in _COLUMNS], rows, title="Tenants", empty="none yet")
    one = dict(tenants[0])
    key, name, most = one.pop("tenant"), one.pop("name"), one.pop("most_active")
    facts: dict[str, Any] = {_said(column).capitalize(): value for column, value in one.items()}
    if one["quarantined"]:
        facts["Quarantined"] = (one["quarantined"], "not understood: see `undercroft import quarantine`")
    if shape:
        facts["Activity"] = shape
    if most:
        facts["Most active"] = ", ".join(f"{who['author_name']} {who['messages']:,}" for who in most)
    return Facts(facts, title=key if name in (None, key.partition(":")[2]) else f"{name}  {key}")


def health_section(database: str, found: Any) -> Section:
    """Return whether and how fast a database answers."""
    facts: dict[str, Any] = {
        "Status": found.status,
        **({} if found.error is None else {"Error": found.error}),
        "Answers in": Duration(found.response_time_ms / 1000),
        "Database": database,
        "Engine": f"{found.engine} {found.server_version or ''}".strip(),
    }
    if found.schema_revision is not None:
        is_newest = found.schema_revision == found.schema_head
        remark = "up to date" if is_newest else f"the newest is {found.schema_head}: `undercroft db upgrade`"
        facts["Schema"] = (found.schema_revision, remark)
    if found.pool:
        facts["Connections"] = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in found.pool.items())
    return Facts(facts, title="Health")


def _table_section(tables: list[Any]) -> Section:
    rows = [[table.name, table.rows, Size(table.bytes)] for table in tables]
    return Listing(["table", "rows", "size"], rows, title="Tables")


def _said(column: str) -> str:
    return column.replace("_", " ").removesuffix(" at")
