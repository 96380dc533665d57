"""What our revisions say beside Alembic's own words: walls, partitions, scripts.

Each is a MigrateOperation with a text of SQL in `sql/` for the engines that need one; importing this module registers
them on `op`. SQLite has no roles, no policies and no partitions, so most of them say nothing there.
"""

from typing import Any

import alembic.op
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations

from undercroft.migrations.scripts import statements

op: Any = alembic.op
"""Alembic's `op` with the operations below, which its type stub cannot know."""


@Operations.register_operation("script", "on")
class Script(MigrateOperation):
    """Runs a file of `sql/`, another one for each engine; nothing where none is named."""

    def __init__(self, table: str = "", **by_engine: str) -> None:
        self.table = table
        self.by_engine = by_engine

    @classmethod
    def on(cls, operations: Operations, *, postgresql: str = "", sqlite: str = "") -> None:
        """Run a script by its name without `.sql`."""
        operations.invoke(cls(postgresql=postgresql, sqlite=sqlite))


class _TableScript(Script):
    """A script of PostgreSQL's about one table."""

    script: str

    def __init__(self, table: str) -> None:
        super().__init__(table, postgresql=self.script)

    @classmethod
    def on_table(cls, operations: Operations, table: str) -> None:
        """Run the script for a table of schema undercroft."""
        operations.invoke(cls(table))


@Operations.register_operation("tenant_policy", "on_table")
class TenantPolicy(_TableScript):
    """Lets the application see and write the rows of the entered tenant, and no others."""

    script = "tenant_policy"


@Operations.register_operation("shared_policy", "on_table")
class SharedPolicy(_TableScript):
    """The same for a table that has the fleet's rows too, under a tenant_id of zero: read by all, written by it."""

    script = "shared_policy"


@Operations.register_operation("append_only", "on_table")
class AppendOnly(_TableScript):
    """Leaves the application only SELECT and INSERT of what `tenant_policy` gave it."""

    script = "append_only"


@Operations.register_operation("partitioned", "on_table")
class Partitioned(_TableScript):
    """Gives a table made with `postgresql_partition_by="RANGE (…)"` its DEFAULT partition."""

    script = "partitioned"


@Operations.register_operation("hot_table", "on_table")
class HotTable(_TableScript):
    """Lets autovacuum look after a table whose rows come and go; not a partitioned one, which holds none."""

    script = "hot_table"


@Operations.implementation_for(Script)
def _run(operations: Operations, operation: Script) -> None:
    script = operation.by_engine.get(operations.migration_context.impl.__dialect__)
    if script:
        for statement in statements(script, table=operation.table):
            operations.execute(statement)


@renderers.dispatch_for(TenantPolicy)
def _render(_context: AutogenContext, operation: TenantPolicy) -> str:
    return f"op.tenant_policy({operation.table!r})"
