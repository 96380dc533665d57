"""`undercroft db`: the tables and the history of their changes."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from undercroft.cli.confirm import confirm
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing
from undercroft.cli.schema import connected
from undercroft.errors import ConfigurationError, InvalidInput

_REVISIONS = Annotated[
    list[Path] | None,
    typer.Option("--revisions", metavar="DIRECTORY", help="Where revisions of your own are; may be repeated."),
]
_YES = Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    db = group("The tables of the database and the history of their changes.")
    command(db, "upgrade")(upgrade)
    command(db, "downgrade")(downgrade)
    command(db, "current")(current)
    command(db, "history")(history)
    command(db, "sql")(sql)
    command(db, "stamp")(stamp)
    command(db, "revision")(revision)
    command(db, "seal")(seal)
    app.add_typer(db, name="db")


def upgrade(
    call: Invocation,
    revision: Annotated[str, typer.Argument(metavar="[REVISION]", help="The newest where none is given.")] = "head",
    *,
    revisions: _REVISIONS = None,
) -> None:
    """Bring the tables forward to a revision: all of it, or nothing."""
    _change(call, "upgrade", revision, revisions)


def downgrade(
    call: Invocation,
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="`base` is before the first.")],
    *,
    revisions: _REVISIONS = None,
    yes: _YES = False,
) -> None:
    """Take the tables back to a revision, and lose what those after it keep."""
    call.require_file()
    if not yes:
        confirm(call.out, f"Take {call.database} back to {revision}, and lose what later revisions keep?")
    _change(call, "downgrade", revision, revisions)


def stamp(
    call: Invocation,
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="Where the tables stand.")],
    *,
    revisions: _REVISIONS = None,
) -> None:
    """Write down at which revision the tables stand, and touch none of them."""
    call.require_file()
    _change(call, "stamp", revision, revisions)


def current(call: Invocation) -> None:
    """Tell at which revision the tables stand."""
    from undercroft.migrations import history as revisions  # noqa: PLC0415 - as in _change

    call.require_file()
    with connected(call.settings) as connection:
        here, applied = revisions.current(connection), sorted(revisions.applied(connection))
    remark = "up to date" if here == revisions.head else "`undercroft db upgrade` brings it forward"
    call.out.show(
        {"revision": here, "head": revisions.head, "is_newest": here == revisions.head, "applied": applied},
        Facts({"Revision": (here or "none", remark), "Newest": revisions.head}),
    )


def history(call: Invocation, *, revisions: _REVISIONS = None) -> None:
    """List the revisions, the newest first."""
    from undercroft.migrations import runner  # noqa: PLC0415 - as in _change

    steps = runner.history(locations=revisions or ())
    call.out.show(
        {
            "revisions": [
                {"id": step.id, "after": step.after, "branch": step.branch, "message": step.message} for step in steps
            ]
        },
        Listing(
            ["revision", "after", "branch", "what"],
            [[step.id, step.after, step.branch, step.message] for step in steps],
            wide=["what"],
        ),
    )


def sql(
    call: Invocation,
    steps: Annotated[str, typer.Argument(metavar="[FROM:TO]", help="From which revision to which.")] = "base:head",
    *,
    dialect: Annotated[
        Literal["sqlite", "postgresql"] | None, typer.Option(help="Without it, that of the database.")
    ] = None,
    revisions: _REVISIONS = None,
) -> None:
    """Print the statements of a change instead of running them."""
    from undercroft.migrations import runner  # noqa: PLC0415 - as in _change

    engine = dialect or call.settings.database.kind
    text = runner.sql(engine, steps, locations=revisions or ())
    if call.out.as_json:
        call.out.json({"dialect": engine, "steps": steps, "sql": text})
    else:
        sys.stdout.write(text.rstrip("\n") + "\n")


def revision(
    call: Invocation,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="What changes, in a few words.")],
    *,
    directory: Annotated[Path, typer.Option(metavar="DIRECTORY", help="Where your revisions are.")] = Path(
        "migrations"
    ),
    models: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="Where your models on `undercroft.models.Base` are; may be repeated."),
    ] = None,
    empty: Annotated[bool, typer.Option("--empty", metavar="", help="Compare nothing; you write it.")] = False,
) -> None:
    """Write a revision of your own tables, which brings the database to what your models say."""
    from undercroft.migrations import authoring  # noqa: PLC0415 - as in _change

    call.require_file()
    for name in models or ():
        _import(name)
    try:
        with connected(call.settings) as connection:
            path = authoring.revision(connection, directory, message, autogenerate=not empty)
    except OSError as error:
        raise InvalidInput(f"{directory} cannot be written to", hint="name another with --directory") from error
    told = "nothing has changed" if path is None else str(path)
    advice = [] if path is None else [f"undercroft db upgrade --revisions {directory}  after you have read it"]
    call.out.show({"path": None if path is None else told}, Facts({"Written": told}), advice=advice)


def seal(
    call: Invocation,
    *,
    grace: Annotated[bool, typer.Option("--grace", metavar="", help="Let those without the key in for now.")] = False,
    retire: Annotated[bool, typer.Option("--retire", metavar="", help="Forget every other key.")] = False,
    off: Annotated[bool, typer.Option("--off", metavar="", help="Open it again, and forget the keys.")] = False,
    yes: _YES = False,
) -> None:
    """Let tenants of a PostgreSQL database be entered only under UNDERCROFT_TENANT_SEAL_KEY, at once for everybody."""
    from undercroft.migrations import sealing  # noqa: PLC0415 - as in _change

    key = call.settings.tenant_seal_key
    if off and (grace or retire):
        raise InvalidInput("--off goes with nothing else", hint="leave the others out")
    if key is None and not off:
        raise ConfigurationError(
            "There is no key",
            setting="tenant_seal_key",
            hint="set UNDERCROFT_TENANT_SEAL_KEY to 32 characters or more, for example from `openssl rand -base64 32`",
        )
    if not yes and not grace:
        confirm(call.out, f"{'Open' if off else 'Seal'} {call.database}, at once for every process that uses it?")
    with connected(call.settings) as connection:
        if key is None or off:
            state = sealing.unseal(connection)
        else:
            state = sealing.seal(connection, key.get_secret_value(), grace=grace, retire=retire)
    call.out.show(
        {"database": call.database, "mode": state.mode, "keys": list(state.keys)},
        Facts({"Database": call.database, "Mode": state.mode, "Keys": ", ".join(state.keys) or "none"}),
    )


def _import(name: str) -> None:
    """Import a module of the user's, from the current directory too."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"There is no module {error.name}", hint="check --models and the directory you are in"
        ) from error


def _change(
    call: Invocation, verb: Literal["upgrade", "downgrade", "stamp"], revision: str, revisions: Sequence[Path] | None
) -> None:
    from undercroft.migrations import runner  # noqa: PLC0415 - Alembic costs more than all other commands need

    with connected(call.settings) as connection:
        before = runner.applied(connection)
        getattr(runner, verb)(connection, revision, locations=revisions or ())
        after = runner.applied(connection)
    facts: dict[str, Any] = {"Database": call.database, "Was at": _listed(before), "Is at": _listed(after)}
    call.out.show(
        {"database": call.database, "before": sorted(before), "after": sorted(after), "changed": before != after},
        Facts(facts, title="Nothing to do" if before == after else None),
    )


def _listed(applied: set[str]) -> str:
    return ", ".join(sorted(applied)) or "no revision"
