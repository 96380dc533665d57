"""`undercroft demo`: the main job, from no file at all to a search, on a sample or on an export of one's own."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from undercroft import Settings, __version__
from undercroft.cli import imports, search, stats
from undercroft.cli.invocation import Invocation, command
from undercroft.cli.output import Output
from undercroft.cli.topics import topics
from undercroft.importers.sample import sample_export
from undercroft.importers.slack import Quarantined, SlackExport, open_export

FILE = "undercroft-demo.db"
_QUERIES = ("refund policy", "返品")
_HITS = 3


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(app, "demo")(demo)


def demo(
    call: Invocation,
    *,
    export: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A Slack export of your own, in place of a made-up bookshop's.")
    ] = None,
) -> None:
    """See it work: a database, an import, two searches, statistics and health.

    Whatever the settings say, it keeps to undercroft-demo.db in the current directory unless --database-url names
    another. It may be repeated.
    """
    if call.url is None:
        call.url = f"sqlite:///{FILE}"
        call.settings = Settings.model_validate({"database_url": call.url})
    out = call.out
    out.is_story = True
    out.say(Text.assemble((f"Undercroft {__version__}", "bold"), ("  a workspace in a file, and found again", "dim")))
    path = sample_export() if export is None else export
    with open_export(path) as source:
        _step(out, f"import slack {export or 'SAMPLE'}", "" if export else "a made-up bookshop")
        key, report = imports.run(call, source, path.name, fallback="slack:demo")
        out.section(imports.report_section(report, {}))
        queries = _QUERIES if export is None else topics(_texts(source))
    with call.store() as store:
        scope = store.tenant(key)
        found = []
        for query in queries:
            _step(out, f'search "{query}"')
            found.append(search.find(scope, query, limit=_HITS))
            out.section(found[-1])
        _step(out, "stats")
        counts = stats.counted(scope, store.tenants.get(key).name)
        out.section(stats.tenant_section([counts], stats.curve(out, scope)))
        _step(out, "health")
        health = store.health()
        out.section(stats.health_section(call.database, health))
    out.advise(
        [
            f'{call.program} search "your words"',
            "undercroft init  a database of your own",
            "undercroft import slack export.zip  your history",
        ]
    )
    if out.as_json:
        answer = {"database": call.database, "tenant": key, "import": asdict(report), "stats": counts}
        searches = [{"query": one.query, "hits": [asdict(hit) for hit in one.hits]} for one in found]
        out.json({**answer, "searches": searches, "health": asdict(health)})


def _texts(export: SlackExport) -> Iterator[str]:
    for one in export.messages():
        if not isinstance(one, Quarantined) and one.kind == "message":
            yield one.shown_text


def _step(out: Output, words: str, remark: str = "") -> None:
    """Head a part with the command that does the same."""
    out.say(
        "", Text.assemble(("$ ", "dim"), (f"undercroft {words}", "cyan"), (f"  {remark}" if remark else "", "dim")), ""
    )
