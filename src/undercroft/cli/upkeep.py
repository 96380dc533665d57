"""`undercroft upkeep`: what is kept for how long, and the removal of what is older."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

import typer

from undercroft import Policy, RetentionRun
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing, Section
from undercroft.errors import InvalidInput

_CLASS = Annotated[str, typer.Argument(metavar="CLASS", help="What is kept, as `retention list` calls it.")]
_BY = Annotated[str | None, typer.Option(metavar="WHO", help="Who decides, for the audit trail.")]
_PERIOD = re.compile(r"(\d{1,6})([hdwy])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "y": timedelta(days=365)}


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    upkeep = group("What is kept for how long, and the removal of what is older.")
    command(upkeep, "run")(run)
    command(upkeep, "schedule")(schedule)
    retention = group("For how long each class of data is kept, for all tenants or with --tenant for one.")
    command(retention, "list")(list_)
    command(retention, "set")(set_)
    command(retention, "reset")(reset)
    command(retention, "hold")(hold)
    command(retention, "release")(release)
    upkeep.add_typer(retention, name="retention")
    app.add_typer(upkeep, name="upkeep")


def run(
    call: Invocation,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", metavar="", help="Count, and remove nothing.")] = False,
) -> None:
    """Remove what is older than its policy allows, of all tenants or with --tenant of one."""
    with call.store() as store:
        upkeep = store.upkeep if call.tenant is None else store.tenant(call.tenant).upkeep
        done = upkeep.run(dry_run=dry_run)
    advice = [f"{call.program} upkeep run  remove it"] if dry_run and done.rows else []
    call.out.show({**asdict(done), "rows": done.rows}, *_sections(done), advice=advice)


def _sections(done: RetentionRun) -> Iterator[Section]:
    count = "would go" if done.dry_run else "removed"
    rows = [
        [one.tenant, one.data_class, one.rows, one.before, "under legal hold, kept" if one.held else ""]
        for one in done.removals
    ]
    yield Listing(["tenant", "class", count, "older than", ""], rows, empty="nothing is older than its policy allows")


def list_(call: Invocation) -> None:
    """List how long each class of data is kept, and who says so."""
    with call.store() as store:
        _show(call, _retention(call, store).list())


def set_(
    call: Invocation,
    data_class: _CLASS,
    keep: Annotated[str, typer.Argument(metavar="PERIOD", help="Such as 90d, 12w, 2y or 48h; or `forever`.")],
    *,
    by: _BY = None,
) -> None:
    """Keep a class of data for so long; the next run removes what is older."""
    with call.store() as store:
        policy = _retention(call, store).set(data_class, keep=period(keep), by=by)
    _show(call, [policy], advice=[f"{call.program} upkeep run --dry-run  count what goes"])


def reset(call: Invocation, data_class: _CLASS, *, by: _BY = None) -> None:
    """Let the policy above hold again: of a tenant that of all tenants, of all tenants the default."""
    with call.store() as store:
        policy = _retention(call, store).reset(data_class, by=by)
    _show(call, [policy])


def hold(
    call: Invocation,
    data_class: _CLASS,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, such as the number of a case.")],
    by: _BY = None,
) -> None:
    """Put a tenant's class of data under legal hold: nothing of it goes, and the tenant cannot be purged."""
    with call.store() as store:
        policy = call.scope(store).upkeep.retention.hold(data_class, reason=reason, by=by)
    _show(call, [policy])


def release(call: Invocation, data_class: _CLASS, *, by: _BY = None) -> None:
    """Release a tenant's class of data from its legal hold."""
    with call.store() as store:
        retention = call.scope(store).upkeep.retention
        released = retention.release(data_class, by=by)
    remark = "released" if released else "was under no hold"
    call.out.show({"data_class": data_class, "released": released}, Facts({data_class: remark}))


def schedule(
    call: Invocation,
    *,
    pg_cron: Annotated[bool, typer.Option("--pg-cron", metavar="", help="Print SQL for pg_cron.")] = False,
    install: Annotated[bool, typer.Option("--install", metavar="", help="Make those jobs of pg_cron now.")] = False,
) -> None:
    """Print the line of a crontab that runs upkeep each hour; with --pg-cron what pg_cron can do of it.

    pg_cron runs SQL alone: it ends idle sessions and removes what has expired. What policies remove goes into the audit
    trail too, so `upkeep run` has to do that.
    """
    if not (pg_cron or install):
        line = f"17 * * * * {call.program} upkeep run --quiet"
        call.out.show({"crontab": line}, Facts({"Crontab": line}))
        return
    with call.store() as store:
        jobs = store.upkeep.pg_cron(install=install)
    answer = {"installed": install, "jobs": [{**asdict(job), "sql": job.sql} for job in jobs]}
    if install or call.out.as_json:
        rows = [[job.name, job.schedule, job.command] for job in jobs]
        call.out.show(answer, Listing(["job", "when", "what"], rows, wide=["what"]))
        return
    for job in jobs:
        call.out.lines([[f"{job.sql};"]])


def period(text: str) -> timedelta | None:
    """Read a period, None for ever.

    Raises:
        InvalidInput: it is none.
    """
    if text in {"forever", "for ever"}:
        return None
    found = _PERIOD.fullmatch(text)
    if found is None:
        raise InvalidInput("PERIOD is no period", field="keep", hint="write 90d, 12w, 2y, 48h or forever")
    return int(found[1]) * _UNITS[found[2]]


def said(keep: timedelta | None) -> str:
    """Write a period as `period` reads it."""
    if keep is None:
        return "for ever"
    if keep % timedelta(days=1):
        return f"{keep / timedelta(hours=1):g} h"
    return f"{keep.days:,} d" if keep else "till it expires"


def policies(found: list[Policy]) -> list[dict[str, Any]]:
    """Return policies as JSON has them."""
    return [
        {
            **{name: value for name, value in asdict(policy).items() if name != "keep"},
            "keep_seconds": None if policy.keep is None else int(policy.keep.total_seconds()),
        }
        for policy in found
    ]


def policy_section(found: list[Policy], title: str | None = None) -> Section:
    """Return policies as a table."""
    rows = [
        [
            one.data_class,
            said(one.keep),
            {"default": "default", "fleet": "all tenants", "tenant": "this tenant"}[one.source],
            "" if one.hold is None else f"held: {one.hold.reason}",
            one.about,
        ]
        for one in found
    ]
    return Listing(["class", "kept", "by", "legal hold", "what"], rows, title=title, wide=["what", "legal hold"])


def _retention(call: Invocation, store: Any) -> Any:
    return (store if call.tenant is None else store.tenant(call.tenant)).upkeep.retention


def _show(call: Invocation, found: list[Policy], advice: list[str] | None = None) -> None:
    answer = {"tenant": call.tenant, "policies": policies(found)}
    call.out.show(answer, policy_section(found), advice=advice or [])
