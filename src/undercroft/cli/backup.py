"""`undercroft backup`: make, verify, restore, list and rotate backups."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from undercroft import Backup, BackupFile, BackupProgress
from undercroft.cli.cells import Size
from undercroft.cli.confirm import confirm
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing, Output, Section

_FILE = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]
_FOLDER = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the backups are.")]
_KEY = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="The secret that proves backups: 32 bytes or more."),
]
_UNPROVEN = Annotated[
    bool,
    typer.Option("--unauthenticated", metavar="", help="Without a key: accidents show, changes on purpose do not."),
]
_PROGRAMS = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where pg_dump and pg_restore are, if not at their usual place or on PATH."),
]
_DOING = {"copying": "Copying", "checking": "Checking", "restoring": "Restoring"}


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    backup = group("Backups: of all, or with --tenant of one. Nothing is restored that a key does not prove.")
    command(backup, "create")(create)
    command(backup, "verify")(verify)
    command(backup, "restore")(restore)
    command(backup, "list")(list_)
    command(backup, "rotate")(rotate)
    app.add_typer(backup, name="backup")


def create(
    call: Invocation,
    file: _FILE,
    *,
    key_file: _KEY = None,
    unauthenticated: _UNPROVEN = False,
    encrypt: Annotated[bool, typer.Option("--encrypt", metavar="", help="Encrypt it with the key.")] = False,
    table: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this table; may be given several times.")
    ] = None,
    portable: Annotated[
        bool, typer.Option("--portable", metavar="", help="Rows of JSON in place of the file or of pg_dump's archive.")
    ] = False,
    programs: _PROGRAMS = None,
) -> None:
    """Write a backup to a new file, while others go on writing.

    On PostgreSQL the login of UNDERCROFT_MIGRATE_URL makes it; for the whole database it needs BYPASSRLS and pg_dump,
    for --portable, --tenant and --table neither.
    """
    with call.store() as store, _watched(call.out) as progress:
        made = store.upkeep.backup(
            file,
            key_file=key_file,
            unauthenticated=unauthenticated,
            encrypt=encrypt,
            tenant=call.tenant,
            tables=table or None,
            portable=portable,
            programs=programs,
            progress=progress,
        )
    options = f"--key-file {key_file}" if key_file else "--unauthenticated"
    _show(call, file, made, advice=[f"{call.program} backup verify {file} {options}"])


def verify(call: Invocation, file: _FILE, *, key_file: _KEY = None, unauthenticated: _UNPROVEN = False) -> None:
    """Read a backup to its end; no database is asked."""
    with call.store(create=True, opened=False) as store, _watched(call.out) as progress:
        found = store.upkeep.verify_backup(file, key_file=key_file, unauthenticated=unauthenticated, progress=progress)
    _show(call, file, found)


def restore(
    call: Invocation,
    file: _FILE,
    *,
    key_file: _KEY = None,
    unauthenticated: _UNPROVEN = False,
    replace: Annotated[
        bool, typer.Option("--replace", metavar="", help="Remove the tenant's rows first, in the same transaction.")
    ] = False,
    programs: _PROGRAMS = None,
    yes: Annotated[bool, typer.Option("--yes", metavar="", help="Do not ask before --replace.")] = False,
) -> None:
    """Restore a backup into an empty database, or with --tenant a tenant's into one that has no rows of it.

    All of it is verified before anything is written, and each table is compared after.
    """
    if replace and not yes:
        confirm(call.out, f"Remove everything of {call.tenant} and put the backup in its place?")
    with call.store(create=True, opened=False) as store, _watched(call.out) as progress:
        done = store.upkeep.restore(
            file,
            key_file=key_file,
            unauthenticated=unauthenticated,
            tenant=call.tenant,
            replace=replace,
            programs=programs,
            progress=progress,
        )
    _show(call, file, done, title="Restored; every table was compared", advice=[f"{call.program} doctor"])


def list_(call: Invocation, folder: _FOLDER, *, key_file: _KEY = None, unauthenticated: _UNPROVEN = False) -> None:
    """List the backups in a folder; their manifests are proven, what is in them is not read."""
    with call.store(create=True, opened=False) as store:
        found = store.upkeep.list_backups(folder, key_file=key_file, unauthenticated=unauthenticated)
    call.out.show({"backups": [_as_json(one) for one in found]}, _files(found))


def rotate(
    call: Invocation,
    folder: _FOLDER,
    *,
    key_file: _KEY = None,
    unauthenticated: _UNPROVEN = False,
    keep: Annotated[int, typer.Option(metavar="COUNT", help="Keep the newest.")] = 0,
    daily: Annotated[int, typer.Option(metavar="COUNT", help="Keep the newest of each of so many days.")] = 0,
    weekly: Annotated[int, typer.Option(metavar="COUNT", help="Keep the newest of each of so many weeks.")] = 0,
    monthly: Annotated[int, typer.Option(metavar="COUNT", help="Keep the newest of each of so many months.")] = 0,
) -> None:
    """Remove old backups of this database.

    Each is read to its end first, and one that is damaged neither counts nor goes. Backups of the whole, of a tenant
    and of some tables are counted each for itself.
    """
    with call.store() as store:
        done = store.upkeep.rotate_backups(
            folder,
            key_file=key_file,
            unauthenticated=unauthenticated,
            keep=keep,
            daily=daily,
            weekly=weekly,
            monthly=monthly,
        )
    rows = [
        *([path.name, "kept", ""] for path in done.kept),
        *([path.name, "removed", ""] for path in done.removed),
        *([one.path.name, "left alone", one.problem] for one in done.left),
    ]
    answer = {
        "kept": [str(path) for path in done.kept],
        "removed": [str(path) for path in done.removed],
        "left": [{"path": str(one.path), "problem": one.problem} for one in done.left],
    }
    call.out.show(answer, Listing(["file", "", "why"], rows, wide=["why"], empty="there are no files"))


def _show(call: Invocation, file: Path, backup: Backup, title: str = "", advice: list[str] | None = None) -> None:
    facts: dict[str, Any] = {
        "File": str(file),
        "Of": backup.tenant or ("tables" if backup.partial else "the whole database"),
        "Database": backup.database,
        "Made": backup.made_at,
        "Form": {"rows": "rows", "sqlite": "SQLite file", "postgresql": "pg_dump"}[backup.kind],
        "Revision": backup.revision,
        "Proven": f"by key {backup.key}" if backup.authenticated else "by nothing",
        "Encrypted": "yes" if backup.encrypted else "no",
        "Rows": backup.rows,
    }
    tables = [[table.name, table.rows, table.checksum] for table in backup.tables]
    sections: list[Section] = [Facts(facts, title=title or None), Listing(["table", "rows", "checksum"], tables)]
    call.out.show({"file": str(file), **_manifest(backup)}, *sections, advice=advice or [])


def _manifest(backup: Backup) -> dict[str, Any]:
    return {**asdict(backup), "rows": backup.rows}


def _as_json(one: BackupFile) -> dict[str, Any]:
    manifest = None if one.backup is None else _manifest(one.backup)
    return {"path": str(one.path), "bytes": one.bytes, "problem": one.problem, "manifest": manifest}


def _files(found: list[BackupFile]) -> Section:
    rows: list[list[Any]] = []
    for one in found:
        if one.backup is None:
            rows.append([one.path.name, Size(one.bytes), None, "", None, one.problem])
        else:
            what = one.backup.tenant or ("tables" if one.backup.partial else "whole")
            rows.append([one.path.name, Size(one.bytes), one.backup.made_at, what, one.backup.rows, ""])
    return Listing(
        ["file", "size", "made", "of", "rows", "problem"], rows, wide=["problem"], empty="there are no files"
    )


@contextmanager
def _watched(out: Output) -> Iterator[Callable[[BackupProgress], None]]:
    """Draw a bar while the block runs, where a person sits at the terminal."""
    progress = Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24, complete_style="cyan", finished_style="cyan"),
        DownloadColumn(),
        TimeRemainingColumn(compact=True),
        console=out.errors,
        transient=True,
        disable=not (out.is_for_people and out.errors.is_terminal),
    )
    task = progress.add_task("", total=None)

    def note(so_far: BackupProgress) -> None:
        progress.update(task, description=_DOING[so_far.stage], completed=so_far.done, total=so_far.total or None)

    with progress:
        yield note
