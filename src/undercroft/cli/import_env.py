"""`undercroft import env`: files of configuration into a tenant's config."""

import hashlib
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from undercroft import UndercroftError
from undercroft.cli.cells import harmless
from undercroft.cli.failures import answer
from undercroft.cli.invocation import Invocation
from undercroft.cli.output import Facts
from undercroft.errors import InvalidInput
from undercroft.importers import env as files

_SIGNS = {"added": ("+", "green"), "changed": ("~", "yellow")}
_FORMATS = ("env", "json", "yaml")


def env(
    call: Invocation,
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help=".env, JSON or YAML; the name tells which.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Show what would change, without values, and change nothing.")
    ] = False,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="What goes before each key, such as langbot.")] = "",
    category: Annotated[str | None, typer.Option(metavar="NAME", help="The category of what is set.")] = None,
    sensitive: Annotated[
        list[str] | None, typer.Option("--sensitive", metavar="KEY", help="Seal this too; may be repeated.")
    ] = None,
    not_sensitive: Annotated[
        list[str] | None,
        typer.Option("--not-sensitive", metavar="KEY", help="Store this in clear, whatever its name; may be repeated."),
    ] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="env, json or yaml, where a name does not tell.")
    ] = None,
    backup: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to keep what was there before, else in this directory.")
    ] = None,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Add a line of JSON on this run to a file.")] = None,
    by: Annotated[str | None, typer.Option(metavar="ID", help="Who imports, by the platform's id of a user.")] = None,
) -> None:
    """Import configuration from files: all of them or nothing, and a second time nothing.

    What was there is kept first: the database on SQLite, the entries that change on PostgreSQL.
    """
    if file_format not in {None, *_FORMATS}:
        raise InvalidInput("A format is env, json or yaml", field="--format")
    with _logged(log, paths) as told:
        chosen = cast("files.Format | None", file_format)
        settings = files.read_files(paths, file_format=chosen, prefix=prefix)
        with call.store(create=not dry_run) as store:
            scope = call.scope(store)
            told |= {"tenant": scope.key, "database": call.database, "dry_run": dry_run}
            plan = files.draw(
                scope, settings, category=category, sensitive=sensitive or (), not_sensitive=not_sensitive or ()
            )
            kept: Path | None = None
            if plan.changes:
                files.rehearse(scope, plan)
            if plan.changes and not dry_run:
                kept = backup or Path(f"before-import-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}{files.suffix(store)}")
                files.back_up(store, scope, plan, kept)
                files.apply(scope, plan, by=by)
        told |= {
            "added": plan.count("added"),
            "changed": plan.count("changed"),
            "unchanged": plan.count("unchanged"),
            "backup": None if kept is None else str(kept),
            "settings": [_told(one) for one in plan.settings],
        }
    call.out.show(
        told,
        Differences(plan.changes),
        Facts(
            {
                "Added": plan.count("added"),
                "Changed": plan.count("changed"),
                "Unchanged": plan.count("unchanged"),
                "Kept before": "-" if kept is None else str(kept),
                "Tenant": scope.key,
            },
            title="Nothing was changed: a dry run" if dry_run else "Imported",
        ),
        advice=[f"{call.program} config list"] if plan.changes and not dry_run else [],
    )


@dataclass(frozen=True, slots=True)
class Differences:
    """What changes, without values."""

    changes: list[files.Change]

    def rich(self) -> RenderableType:
        """Return a line for each, as a diff has it."""
        if not self.changes:
            return Text("Everything is as the files have it")
        return Group(*(self._line(one) for one in self.changes))

    @staticmethod
    def _line(one: files.Change) -> Text:
        sign, color = _SIGNS[one.kind]
        text = Text(f"{sign} {one.key}", style=color)
        text.append(f"  {one.type}{', sensitive' if one.is_sensitive else ''}", style="default")
        return text.append(f"  {harmless(one.setting.place)}", style="dim")

    def lines(self) -> list[list[Any]]:
        """Return change, key, type, whether it is sensitive, file and line."""
        return [
            [one.kind, one.key, one.type, one.is_sensitive, one.setting.path, one.setting.line] for one in self.changes
        ]


def _told(one: files.Change) -> dict[str, Any]:
    return {
        "key": one.key,
        "change": one.kind,
        "type": one.type,
        "is_sensitive": one.is_sensitive,
        "version_before": one.version,
        "path": one.setting.path,
        "line": one.setting.line,
    }


@contextmanager
def _logged(log: Path | None, paths: list[Path]) -> Generator[dict[str, Any], None, None]:
    """Add a line to the log however the run ends; a log that cannot be written stops it before it begins."""
    told: dict[str, Any] = {}
    if log is None:
        yield told
        return
    begun = datetime.now(UTC)
    try:
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise InvalidInput(f"The log {log} cannot be written: {error.strerror}", field="--log") from None
    outcome: dict[str, Any] = {"outcome": "failed"}
    try:
        yield told
        outcome = {"outcome": "rehearsed" if told["dry_run"] else "done"}
    except UndercroftError as error:
        outcome = {"outcome": "refused", **answer(error)}
        raise
    finally:
        about = {"at": begun.isoformat(), "files": [_about(path) for path in paths]}
        os.write(file, (json.dumps({**about, **outcome, **told}) + "\n").encode())
        os.close(file)


def _about(path: Path) -> dict[str, str | None]:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        digest = None
    return {"path": str(path), "sha256": digest}
