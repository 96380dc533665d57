"""`undercroft init`: a database to begin with."""

import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from undercroft.cli.invocation import Invocation, command
from undercroft.cli.output import Facts
from undercroft.errors import ConfigurationError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(app, "init")(init)


def init(
    call: Invocation,
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="Where; the same as --database-url.")] = None,
) -> None:
    """Make a database, or bring the tables of one up to date; doing it again is harmless."""
    if url is not None and call.url is not None and url != call.url:
        raise ConfigurationError("URL and --database-url disagree", setting="database_url", hint="give one of them")
    call.url = url or call.url
    path = call.settings.database.path
    is_new = path is not None and not Path(path).exists()
    with call.store(create=True) as store:
        store.migrate()
        info = store.info()
    facts = {
        "Database": (call.database if path is None else str(Path(path).resolve()), "new" if is_new else "was there"),
        "Rights": None if path is None else _rights(Path(path)),
        "Engine": f"{info.engine} {info.server_version}",
        "Schema": info.schema_revision,
    }
    call.out.show(
        {
            "database": call.database,
            "created": is_new,
            "mode": None if path is None else stat.filemode(os.stat(path).st_mode),  # noqa: PTH116
            "engine": info.engine,
            "server_version": info.server_version,
            "schema_revision": info.schema_revision,
        },
        Facts({name: value for name, value in facts.items() if value is not None}, title="Ready"),
        advice=[
            f"{call.program} import slack export.zip  your Slack history",
            f"{call.program} keys init  so that it can keep secrets",
            "undercroft demo  see it work on a sample first",
        ],
    )


def _rights(path: Path) -> tuple[str, str]:
    """Tell who may read the file."""
    mode = path.stat().st_mode
    remark = f"others on this machine can read it: chmod 600 {path}" if mode & _OTHERS else "you alone"
    return stat.filemode(mode), remark
