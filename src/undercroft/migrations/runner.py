"""Runs the history through Alembic: every change of a call in one transaction, or none.

`locations` are the directories of the users' own revisions, which form branches beside ours in the same version table.
"""

from argparse import Namespace
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from undercroft.errors import InvalidInput, SchemaTooNew
from undercroft.migrations.engines import Engine, Postgresql, Sqlite, engine, fitted
from undercroft.migrations.history import applied, check, current, known

__all__ = ["Revision", "applied", "check", "config_for", "current", "downgrade", "history", "sql", "stamp", "upgrade"]

Locations = Sequence[str | Path]
_ENGINES: dict[str, Engine] = {"sqlite": Sqlite(), "postgresql": Postgresql()}


@dataclass(frozen=True, slots=True)
class Revision:
    """One step of a branch; `after` is the step before it, None for the first."""

    id: str
    after: str | None
    branch: str
    message: str
    path: Path


def upgrade(connection: sa.Connection, revision: str = "head", *, locations: Locations = ()) -> None:
    """Bring the schema forward to a revision, by default to the newest of every branch.

    On a connection that is inside a transaction already, committing it is the caller's.

    Raises:
        InvalidInput: there is no such revision.
        SchemaTooNew: the database is at one that this library and `locations` do not know.
        SchemaConflict: a name that we need belongs to somebody else; nothing was changed.
        PermissionDenied: the login may not make what is needed.
    """
    config = config_for(locations)
    with _changing(connection, config, revision):
        if revision == "head" and locations:
            command.upgrade(config, "undercroft@head")  # ours first: theirs refer to our tables
        command.upgrade(config, "heads" if revision == "head" else revision)


def downgrade(connection: sa.Connection, revision: str, *, locations: Locations = ()) -> None:
    """Take the schema back to a revision, "base" for before the first, with the data in what it removes.

    Raises:
        InvalidInput: there is no such revision before the present one.
        SchemaTooNew: the database is at a revision that this library and `locations` do not know.
    """
    config = config_for(locations)
    with _changing(connection, config, revision):
        command.downgrade(config, revision)


def stamp(connection: sa.Connection, revision: str, *, locations: Locations = ()) -> None:
    """Write down that the schema stands at a revision, without touching a table of it.

    Raises:
        InvalidInput: there is no such revision.
    """
    config = config_for(locations)
    with _changing(connection, config, revision, stamping=True):
        command.stamp(config, "heads" if revision == "head" else revision)


def history(*, locations: Locations = ()) -> list[Revision]:
    """Return every revision, newest first."""
    return [
        Revision(
            id=step.revision,
            after=step.down_revision if isinstance(step.down_revision, str) else None,
            branch=min(step.branch_labels, default=""),
            message=step.doc,
            path=Path(step.path),
        )
        for step in ScriptDirectory.from_config(config_for(locations)).walk_revisions()
    ]


def sql(dialect: Literal["sqlite", "postgresql"], steps: str = "base:head", *, locations: Locations = ()) -> str:
    """Return the statements from one revision to another, "from:to"; a downgrade where the first is the later one.

    Nothing is looked up, so the text holds for a database that stands exactly at the first.

    Raises:
        InvalidInput: there is no such revision or no such dialect.
    """
    config = config_for(locations)
    start, _, end = steps.partition(":")
    end = end or "head"
    if dialect not in _ENGINES:
        raise InvalidInput("There are statements for sqlite and for postgresql", field="dialect")
    for revision in (start, end):
        _require_known(config, revision)
    here = _ENGINES[dialect]
    out = StringIO()
    config.output_buffer = out
    config.attributes["run"] = _offline(here, out)
    back = end == "base" or (start in known and end in known and end < start)
    try:
        if back:
            command.downgrade(config, f"{start}:{end}", sql=True)
        else:
            command.upgrade(config, f"{start}:{'heads' if end == 'head' else end}", sql=True)
    except CommandError as error:
        raise _no_such(steps) from error
    return here.text(out.getvalue())


def config_for(locations: Locations) -> Config:
    """Return Alembic's configuration; whoever runs it puts what env.py is to do under attributes["run"]."""
    home = files("undercroft.migrations")
    config = Config(cmd_opts=Namespace(quiet=True))
    config.set_main_option("script_location", str(home))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join([str(home / "versions"), *map(str, locations)]))
    return config


@contextmanager
def _changing(connection: sa.Connection, config: Config, revision: str, *, stamping: bool = False) -> Iterator[None]:
    """Open the transaction of a change, lock out others, and tell Alembic how to run in it."""
    here = engine(connection.dialect)
    own = not connection.in_transaction()
    map_before = connection.get_execution_options().get("schema_translate_map")
    transaction = connection.begin() if own else None
    try:
        connection.execution_options(schema_translate_map=None)  # `fitted` does it for Alembic's statements as well
        here.lock(connection, own=own)
        for statement in here.bootstrap():
            connection.execute(statement)
        _require_known(config, revision, applied(connection))
        if not stamping and not applied(connection):
            here.refuse_taken_names(connection)
        config.attributes["run"] = _online(here, connection)
        with fitted(connection, here):
            yield
        here.release(connection)
    except sa.exc.DBAPIError as error:
        _end(transaction, commit=False)
        meaning = here.meaning(error)
        if meaning is None:
            raise
        raise meaning from error
    except CommandError as error:
        _end(transaction, commit=False)
        raise _no_such(revision) from error
    except BaseException:
        _end(transaction, commit=False)
        raise
    else:
        _end(transaction, commit=True)
    finally:
        connection.execution_options(schema_translate_map=map_before)


def _end(transaction: sa.RootTransaction | None, *, commit: bool) -> None:
    if transaction is not None:
        (transaction.commit if commit else transaction.rollback)()


def _online(here: Engine, connection: sa.Connection) -> Callable[[Any], None]:
    def run(context: Any) -> None:
        context.configure(connection=connection, **_options(here))
        context.run_migrations()

    return run


def _offline(here: Engine, out: StringIO) -> Callable[[Any], None]:
    def run(context: Any) -> None:
        context.configure(
            dialect_name=here.name, dialect_opts={"paramstyle": "named"}, output_buffer=out, **_options(here)
        )
        with context.begin_transaction():
            for statement in here.bootstrap():
                context.execute(statement)
            context.run_migrations()

    return run


def _options(here: Engine) -> dict[str, Any]:
    return {
        "version_table": here.version_table,
        "version_table_schema": here.version_schema,
        "transactional_ddl": True,  # SQLite's is, with a BEGIN of our own
    }


def _require_known(config: Config, revision: str, applied: Collection[str] = ()) -> None:
    scripts = ScriptDirectory.from_config(config)
    if not {step.revision for step in scripts.walk_revisions()}.issuperset(applied):
        raise SchemaTooNew(
            hint="upgrade the library (pip install -U undercroft), or name the directory of your own revisions"
        )
    try:
        scripts.get_revisions("heads" if revision == "head" else revision)
    except CommandError as error:
        raise _no_such(revision) from error


def _no_such(revision: str) -> InvalidInput:
    return InvalidInput(f"There is no way to revision {revision!r}", field="revision", hint="see undercroft db history")
