"""`undercroft import`: history and configuration from other places."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from undercroft import Store
from undercroft.cli.cells import Duration, plain
from undercroft.cli.import_env import env
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Section
from undercroft.cli.progress import watched
from undercroft.errors import InvalidInput, TenantUnknown
from undercroft.importers.load import ImportReport, load_export
from undercroft.importers.slack import SlackExport, open_export

_OFFICIAL = re.compile(r"(.+) Slack export .+")
"""How Slack names the file: "Acme Slack export Jan 1 2024 - Feb 1 2024.zip"."""


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    imports = group("History and configuration from other places. Importing it twice adds nothing.")
    command(imports, "slack")(slack)
    command(imports, "quarantine")(quarantine)
    command(imports, "env")(env)
    app.add_typer(imports, name="import")


def slack(
    call: Invocation,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An export, zipped or not: Slack's own or slackdump's.")],
) -> None:
    """Import a Slack export: nothing twice, nothing dropped silently.

    All of it is checked before anything is written. Stopped at any moment, it is simply run again.
    """
    with open_export(path) as export:
        key, report = run(call, export, path.name)
        skipped, mended = export.skipped, export.replaced
    answer = {"tenant": key, "database": call.database, **asdict(report), "skipped_files": skipped, "mended": mended}
    sections: list[Section] = [report_section(report, {"Tenant": key, "Database": call.shown_database})]
    if report.examples and call.out.is_for_people:
        sections.append(Refusals(report.examples, f"Not understood, the first {len(report.examples)}"))
    advice = [f"{call.program} import quarantine  all that was not understood"] if report.quarantined else []
    call.out.show(answer, *sections, advice=[f'{call.program} search "two words"', f"{call.program} stats", *advice])


def quarantine(
    call: Invocation,
    *,
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 100,
) -> None:
    """List what imports have not understood: where it stands, why, and how it begins."""
    with call.store() as store:
        scope = call.scope(store)
        kept = scope.archive.quarantined(limit=limit)
    call.out.show({"tenant": scope.key, "quarantined": [asdict(one) for one in kept]}, Refusals(kept))


@dataclass(frozen=True, slots=True)
class Refusals:
    """Records that were not understood."""

    refused: Sequence[Any]
    title: str = "Not understood"

    def rich(self) -> RenderableType:
        """Return where each stands, why, and how it begins."""
        if not self.refused:
            return Text("Everything was understood")
        parts: list[RenderableType] = [Text(self.title, style="bold")]
        for one in self.refused:
            begins = Text(plain(one.record_text), style="dim", no_wrap=True, overflow="ellipsis")
            parts.append(Text(f"  {plain(one.path)}:{one.position}", style="cyan"))
            parts += [Padding(part, (0, 0, 0, 4)) for part in (Text(one.reason), begins)]
        return Group(*parts)

    def lines(self) -> list[Sequence[Any]]:
        """Return file, position in bytes, reason and record."""
        return [[one.path, one.position, one.reason, one.record_text] for one in self.refused]


def run(call: Invocation, export: SlackExport, name: str, *, fallback: str | None = None) -> tuple[str, ImportReport]:
    """Check an export and import it into its tenant, which is made where there is none; returns the tenant's key too.

    Raises:
        InvalidInput: neither the command line nor the export tells which tenant, and there is no ``fallback``.
        SourceRefused: the export is unsafe or unreadable; nothing was written.
    """
    with watched(call.out, export) as bar:
        bar.begin("Checking")
        export.verify()
        key = call.tenant or export.workspace or fallback
        if key is None:
            raise InvalidInput(
                f"{name} does not tell which workspace it comes from",
                field="tenant",
                hint="say it with --tenant, for example --tenant slack:T024BE7LD",
            )
        with call.store(create=True) as store:
            _ensure(store, key, name)
            bar.begin("Importing")
            return key, load_export(store.tenant(key), export, name, progress=bar.note)


def report_section(report: ImportReport, where: dict[str, Any]) -> Facts:
    """Return what an import came to."""
    rate = [f"{report.read / report.seconds:,.0f} messages/s"] if report.seconds else []
    facts = {
        "Read": (report.read, "messages"),
        "Added": report.added,
        "Updated": report.updated,
        "Already there": report.unchanged,
        "Quarantined": report.quarantined,
        "Channels": report.channels,
        "Users": report.users,
        "Took": (Duration(report.seconds), *rate),
    }
    return Facts({**facts, **where}, title="Imported")


def _ensure(store: Store, key: str, name: str) -> None:
    """Make the tenant where there is none, with the workspace's name from that of Slack's own file."""
    try:
        store.tenants.get(key)
    except TenantUnknown:
        found = _OFFICIAL.fullmatch(name)
        store.tenants.ensure(key, name=found[1] if found else None)
