"""`undercroft stats` and `undercroft health`: what is in the database, and whether it answers."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from undercroft import Store, TenantScope
from undercroft.cli.cells import Duration, Size
from undercroft.cli.failures import DATABASE
from undercroft.cli.invocation import Invocation, command
from undercroft.cli.output import Facts, Listing, Output, Section
from undercroft.cli.sparkline import sparkline
from undercroft.cli.upkeep import policies, said

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
        database |= upkeep_facts(policies(fleet.retention), asdict(fleet)["last_run"], fleet.next_run_at)
    sections.append(Facts(database, title="Database"))
    if tables and fleet is not None:
        sections.append(_table_section(fleet.tables))
    answer = {"tenants": tenants, "database": asdict(info), "fleet": None}
    if fleet is not None:
        answer["fleet"] = {**asdict(fleet), "retention": policies(fleet.retention)}
    call.out.show(answer, *sections)


def health(
    call: Invocation,
    *,
    deep: Annotated[
        bool, typer.Option("--deep", metavar="", help="Also write a row, read it back and delete it.")
    ] = False,
    tables: _TABLES = False,
) -> None:
    """Ask the database whether it answers; where it does not, the exit code is 3."""
    with call.store(opened=False) as store:
        found = store.health(deep=deep)
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
    stats = scope.stats()
    upkeep = {"retention": policies(stats.retention)}
    return {"tenant": scope.key, "name": name, **asdict(stats), **upkeep, "most_active": most}


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
    upkeep = {one_of: one.pop(one_of) for one_of in ("retention", "last_run", "next_run_at")}
    facts: dict[str, Any] = {_titled(column): value for column, value in one.items()}
    if one["quarantined"]:
        facts["Quarantined"] = (one["quarantined"], "not understood: see `undercroft import quarantine`")
    facts |= upkeep_facts(**upkeep)
    if shape:
        facts["Activity"] = shape
    if most:
        facts["Most active"] = ", ".join(f"{who['author_name']} {who['messages']:,}" for who in most)
    return Facts(facts, title=key if name in (None, key.partition(":")[2]) else f"{name}  {key}")


def upkeep_facts(
    retention: list[dict[str, Any]], last_run: dict[str, Any] | None, next_run_at: datetime | None
) -> dict[str, Any]:
    """Return what upkeep keeps for a time only, and when it ran and will run."""
    kept = [
        f"{one['data_class']} {said(timedelta(seconds=one['keep_seconds']))}"
        for one in retention
        if one["keep_seconds"] is not None and one["hold"] is None
    ]
    held = [one["data_class"] for one in retention if one["hold"] is not None]
    facts: dict[str, Any] = {"Kept for a time": ", ".join(kept)}
    if held:
        facts["Under legal hold"] = ", ".join(held)
    if last_run is None:
        facts["Last upkeep"] = ("never", "see `undercroft upkeep schedule`")
    elif last_run["finished_at"] is None:
        facts["Last upkeep"] = (last_run["started_at"], "it runs, or was broken off")
    else:
        facts["Last upkeep"] = (last_run["finished_at"], f"{last_run['removed']:,} removed")
    if next_run_at is not None:
        facts["Next upkeep"] = next_run_at
    return facts


def health_section(database: str, found: Any) -> Section:
    """Return whether and how fast a database answers."""
    facts: dict[str, Any] = {
        "Status": found.status,
        **({} if found.error is None else {"Error": found.error}),
        "Answers in": Duration(found.response_time_ms / 1000),
        **({} if found.trial is None else _trial_facts(asdict(found.trial))),
        "Database": database,
        "Engine": f"{found.engine} {found.server_version or ''}".strip(),
    }
    if found.schema_revision is not None:
        is_newest = found.schema_revision == found.schema_head
        remark = "up to date" if is_newest else f"the newest is {found.schema_head}: `undercroft db upgrade`"
        facts["Schema"] = (found.schema_revision, remark)
    if found.pool:
        facts["Connections"] = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in found.pool.items())
    if found.replica is not None:
        lag, reason = found.replica.lag_seconds, found.replica.reason
        facts["Replica"] = f"in use, {lag:.1f} s behind at most" if found.replica.used else f"not in use: {reason}"
    if found.redis is not None:
        took, reason = Duration(found.redis.response_time_ms / 1000), found.redis.reason
        facts["Redis answers in"] = took if found.redis.answered else f"it does not{f': {reason}' if reason else ''}"
    return Facts(facts, title="Health")


def _trial_facts(trial: dict[str, float | None]) -> dict[str, Any]:
    """Return how long a row took to be written, read and deleted; the first that is missing is what failed."""
    said = {"write_ms": "Wrote a row in", "read_ms": "Read it back in", "delete_ms": "Deleted it in"}
    return {said[step]: Duration(took / 1000) if took is not None else "it did not" for step, took in trial.items()}


def _table_section(tables: list[Any]) -> Section:
    rows = [[table.name, table.rows, Size(table.bytes)] for table in tables]
    return Listing(["table", "rows", "size"], rows, title="Tables")


def _titled(column: str) -> str:
    return _said(column).capitalize().replace("Crm ", "CRM ")


def _said(column: str) -> str:
    return column.replace("_", " ").removesuffix(" at")
