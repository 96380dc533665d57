"""Revisions of the users' own tables: a branch of theirs beside ours, written by comparing their models."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.operations import ops
from alembic.script import Script, ScriptDirectory

from undercroft.core.schema import SCHEMA, Base
from undercroft.errors import InvalidInput, SchemaOutdated
from undercroft.migrations.drift import comparison
from undercroft.migrations.engines import engine
from undercroft.migrations.history import applied, left_as_found
from undercroft.migrations.operations import TenantPolicy
from undercroft.migrations.runner import config_for
from undercroft.migrations.tables import OURS, without_schema


def revision(
    connection: sa.Connection,
    directory: Path,
    message: str,
    *,
    metadata: sa.MetaData = Base.metadata,
    branch: str = "app",
    autogenerate: bool = True,
) -> Path | None:
    """Write a revision into a directory of the user's and return its path, None where nothing has changed.

    With `autogenerate` it brings the database to his tables in `metadata`. Ours are left alone, and so is every table
    that `metadata` does not name: a table is dropped by hand. A new table with a tenant_id gets its walls.
    Read it before you run it with `upgrade(connection, locations=[directory])`.

    Raises:
        SchemaOutdated: there are revisions that the database has not run.
        InvalidInput: the message is empty, or a table is not in schema undercroft, where alone our owner may make one.
    """
    if not message.strip():
        raise InvalidInput("A revision needs a message", field="message", hint="say what changes in a few words")
    theirs = _theirs(metadata)
    directory.mkdir(parents=True, exist_ok=True)
    config = config_for([directory])
    heads = ScriptDirectory.from_config(config).get_revisions("heads")
    begun = any(branch in head.branch_labels for head in heads)
    if autogenerate and not {head.revision for head in heads} <= applied(connection):
        raise SchemaOutdated(hint="upgrade with your own revisions, then write the next one")
    config.attributes["run"] = _comparing(connection, metadata, theirs)
    with left_as_found(connection):
        script = command.revision(
            config,
            message,
            autogenerate=autogenerate,
            head=f"{branch}@head" if begun else "base",
            branch_label=None if begun else branch,
            version_path=str(directory),
        )
    return Path(script.path) if isinstance(script, Script) else None


def _theirs(metadata: sa.MetaData) -> list[sa.Table]:
    ours = {table.key for table in OURS}
    theirs = [table for table in metadata.sorted_tables if table.key not in ours]
    for table in theirs:
        if table.schema != SCHEMA:
            raise InvalidInput(
                f"The table {table.fullname} is not in schema {SCHEMA}",
                field="metadata",
                hint="put its model on undercroft.models.Base, or migrate it with an Alembic of your own",
            )
    return theirs


def _comparing(connection: sa.Connection, metadata: sa.MetaData, theirs: list[sa.Table]) -> Callable[[Any], None]:
    here = engine(connection.dialect)
    flat = here.version_schema is None

    def run(context: Any) -> None:
        context.configure(
            connection=connection,
            target_metadata=without_schema([*OURS, *theirs]) if flat else metadata,
            process_revision_directives=lambda _context, _revision, scripts: _finish(scripts, theirs),
            render_item=_render,
            **comparison(here, connection, theirs),
        )
        context.run_migrations()

    return run


def _finish(scripts: list[ops.MigrationScript], theirs: list[sa.Table]) -> None:
    """Drop a script that does nothing; name the schema again, which SQLite does not know; add walls."""
    script = scripts[0]
    if script.upgrade_ops is None or script.downgrade_ops is None or script.upgrade_ops.is_empty():
        scripts.clear()
        return
    tables = {table.name: table for table in theirs}
    for container in (script.upgrade_ops, script.downgrade_ops):
        container.ops = [new for old in container.ops for new in _portable(old, tables)]


def _portable(operation: Any, tables: dict[str, sa.Table]) -> Iterator[ops.MigrateOperation]:
    table = tables.get(getattr(operation, "table_name", ""))
    if table is None:
        yield operation
    elif isinstance(operation, ops.CreateTableOp):
        yield ops.CreateTableOp.from_table(table)
        if "tenant_id" in table.c:
            yield TenantPolicy(table.name)
    else:
        operation.schema = table.schema
        if isinstance(operation, ops.ModifyTableOps):
            operation.ops = [new for old in operation.ops for new in _portable(old, tables)]
        if isinstance(operation, ops.CreateForeignKeyOp):
            operation.kw["referent_schema"] = table.schema
        yield operation


def _render(kind: str, item: Any, _context: Any) -> str | bool:
    """Write our types by their names: SQLAlchemy would repeat the arguments of what they are made of."""
    if kind == "type" and type(item).__module__ == "undercroft.core.types":
        return f"undercroft.core.types.{type(item).__name__}()"
    return False
