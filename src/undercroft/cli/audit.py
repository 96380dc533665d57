"""`undercroft audit`: who did what, and the proof that nobody rewrote it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from undercroft import AuditEvent, AuditReport, Checkpoint, generate_audit_key, read_checkpoints, verify_audit_files
from undercroft.cli import moments
from undercroft.cli.failures import DAMAGED
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing
from undercroft.errors import InvalidInput

_LIMIT = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")]
_SINCE = Annotated[str | None, typer.Option(metavar="WHEN", help="2025, 2025-03, 2025-03-17, today, 30d …")]
_UNTIL = Annotated[str | None, typer.Option(metavar="WHEN", help="The last day, month or year that is meant.")]
_CHECKPOINTS = Annotated[
    list[Path] | None,
    typer.Option("--checkpoint", metavar="FILE", help="A checkpoint that was kept elsewhere; may be repeated."),
]
_KEYS = Annotated[
    list[Path] | None,
    typer.Option("--public-key", metavar="FILE", help="The key that signed the checkpoints; may be repeated."),
]
_DAYS = 730


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    audit = group("Who did what, and the proof that nobody rewrote it.")
    command(audit, "recent")(recent)
    command(audit, "failures")(failures)
    command(audit, "search")(search)
    command(audit, "verify")(verify)
    command(audit, "checkpoint")(checkpoint)
    command(audit, "export")(export)
    command(audit, "archive")(archive)
    command(audit, "keygen")(keygen)
    app.add_typer(audit, name="audit")


def recent(call: Invocation, *, limit: _LIMIT = 50) -> None:
    """List the newest events."""
    with call.store() as store:
        _list(call, call.scope(store).audit.recent(limit=limit))


def failures(
    call: Invocation,
    *,
    hours: Annotated[float, typer.Option(min=0.01, help="How far back.")] = 24,
    limit: _LIMIT = 100,
) -> None:
    """List what failed or was denied."""
    with call.store() as store:
        _list(call, call.scope(store).audit.failures(hours=hours, limit=limit))


def search(
    call: Invocation,
    *,
    by: Annotated[str | None, typer.Option(metavar="WHO", help="The id of who did it.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Such as config.set.")] = None,
    category: Annotated[str | None, typer.Option(help="The first half of most types.")] = None,
    status: Annotated[Literal["success", "failure", "denied"] | None, typer.Option(help="How it ended.")] = None,
    resource: Annotated[str | None, typer.Option(metavar="TYPE[:ID]", help="What it was done to.")] = None,
    ip: Annotated[str | None, typer.Option(help="From where.")] = None,
    since: _SINCE = None,
    until: _UNTIL = None,
    limit: _LIMIT = 100,
) -> None:
    """Find events, the newest first."""
    kind, _, id_ = (resource or "").partition(":")
    with call.store() as store:
        found = call.scope(store).audit.search(
            by=by,
            event_type=event_type,
            category=category,
            status=status,
            resource_type=kind or None,
            resource_id=id_ or None,
            ip=ip,
            since=None if since is None else moments.since(since),
            until=None if until is None else moments.until(until),
            limit=limit,
        )
        _list(call, found)


def verify(
    call: Invocation,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Exported files; without any, the database.")
    ] = None,
    *,
    checkpoint: _CHECKPOINTS = None,
    public_key: _KEYS = None,
) -> None:
    """Verify the trail; where it is not intact the exit code is 4.

    With files nothing else is read, no database either. Only a checkpoint that was kept elsewhere tells of a trail that
    was rewritten from some event on, cut off, or put back to an older state.
    """
    keys = [_read(path, "public-key") for path in public_key or ()]
    kept = read_checkpoints([_read(path, "checkpoint") for path in checkpoint or ()], keys)
    if files:
        report = verify_audit_files(files, kept)
    else:
        with call.store() as store:
            report = call.scope(store).audit.verify(checkpoints=kept)
    _report(call, report, signed=bool(kept and keys))
    if not report.intact:
        raise typer.Exit(DAMAGED)


def checkpoint(
    call: Invocation,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="A new file for it.")] = None,
) -> None:
    """Sign how far the trail has come; keep it where nobody who has this database can change it."""
    with call.store() as store:
        made: Checkpoint = call.scope(store).audit.checkpoint()
    if out is not None:
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(f"{made}\n")
        except OSError as error:
            raise InvalidInput("The checkpoint cannot be written", field="out", hint="name a new file") from error
    answer = {"checkpoint": {**made.stated(), "signature": made.signature.hex()}, "file": out and str(out)}
    if out is None and not call.out.as_json and not call.out.is_for_people:
        call.out.lines([[str(made)]])  # the document itself, for a file or another program
        return
    facts = {"Events": made.sequence, "Hash": made.hash.hex(), "Signed at": made.at, "Key": made.key}
    call.out.show(answer, Facts(facts | ({} if out is None else {"File": str(out)})))
    if out is None:
        call.out.say("", str(made))


def export(
    call: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    *,
    since: _SINCE = None,
    until: _UNTIL = None,
) -> None:
    """Write the trail into a file that `audit verify` needs no database for."""
    with call.store() as store:
        made = call.scope(store).audit.export(
            file,
            since=None if since is None else moments.since(since),
            until=None if until is None else moments.until(until),
        )
    told = asdict(made) | {"sha256": made.sha256.hex()}
    facts = {
        "File": made.path,
        "Events": made.events,
        "First": made.first,
        "Last": made.last,
        "SHA-256": told["sha256"],
    }
    call.out.show({"export": told}, Facts(facts), advice=[f"{call.program} audit verify {made.path}  verify it"])


def archive(
    call: Invocation,
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Where archives are kept.")],
    *,
    days: Annotated[float, typer.Option(min=0, help="How old an event must be.")] = _DAYS,
) -> None:
    """Move old events into a file, with the proof that nothing is missing; the login of the migrations removes them."""
    with call.store() as store:
        made = call.scope(store).audit.archive(directory, days=days)
    if made is None:
        call.out.show({"archive": None}, Facts({"Archived": 0}))
        return
    facts = {"Archived": made.events, "File": made.path, "Checkpoint": made.checkpoint, "Up to": made.last}
    call.out.show({"archive": asdict(made)}, Facts(facts))


def keygen(call: Invocation, file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")]) -> None:
    """Make the key that signs checkpoints, and FILE.pub for those who verify them."""
    made = generate_audit_key(file)
    call.out.show(
        {"key": made, "private": str(file), "public": f"{file}.pub"},
        Facts({"Key": made, "Private": (str(file), "name it in UNDERCROFT_AUDIT_KEY_FILE"), "Public": f"{file}.pub"}),
    )


def _read(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"The file cannot be read: {path}", field=field, hint="name one that is there") from error


def _list(call: Invocation, events: Sequence[AuditEvent]) -> None:
    rows: list[Sequence[Any]] = [
        [one.occurred_at, one.event_type, one.actor or "", one.status, _resource(one), one.description]
        for one in events
    ]
    told = [asdict(one) | {"event_hash": one.event_hash.hex()} for one in events]
    columns = ["when", "event", "by", "status", "resource", "description"]
    call.out.show({"events": told}, Listing(columns, rows, empty="no event", wide=["description"]))


def _resource(event: AuditEvent) -> str:
    return ":".join(part for part in (event.resource_type, event.resource_id) if part)


def _report(call: Invocation, report: AuditReport, *, signed: bool) -> None:
    damage = None if report.damage is None else asdict(report.damage)
    answer = asdict(report) | {"intact": report.intact, "head": report.head.hex(), "damage": damage, "signed": signed}
    facts: dict[str, Any] = {
        "Intact": "yes" if report.intact else "NO",
        **({} if report.damage is None else {"Damage": str(report.damage)}),
        "Verified": report.verified,
        "First": report.first,
        "Last": report.last,
        "Head": report.head.hex(),
        "Checkpoints": (report.checkpoints, "signatures verified" if signed else "as they were given"),
    }
    if report.anchor:
        facts["Archived up to"] = report.anchor
    call.out.show({"report": answer}, Facts(facts))
