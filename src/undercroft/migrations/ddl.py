"""The words in which revisions make the tables of a tenant."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from undercroft.core.types import Uuid
from undercroft.migrations.operations import op

SCHEMA = "undercroft"


def table(
    name: str, *items: sa.schema.SchemaItem, key: Sequence[str], partition_by: str | None = None, **options: Any
) -> None:
    """Make a table whose primary key is the tenant and ``key``, on PostgreSQL partitioned by the range of a column."""
    op.create_table(
        name,
        sa.Column("tenant_id", Uuid, nullable=False),
        *items,
        sa.PrimaryKeyConstraint("tenant_id", *key, name=f"pk_{name}"),
        schema=SCHEMA,
        sqlite_strict=True,
        postgresql_partition_by=None if partition_by is None else f"RANGE ({partition_by})",
        **options,
    )


def column(name: str, kind: Any, default: str | None = None, *, nullable: bool = False) -> sa.Column[Any]:
    """Return a column; ``default`` is SQL."""
    return sa.Column(name, kind, server_default=None if default is None else sa.text(default), nullable=nullable)


def of_tenant(name: str) -> sa.ForeignKeyConstraint:
    """Return what ties the rows of a table to their tenant; a partitioned table goes without, it would be looked up."""
    return sa.ForeignKeyConstraint(
        ["tenant_id"], ["undercroft.tenants.tenant_id"], name=f"fk_{name}_tenant_id", ondelete="RESTRICT"
    )


def of(name: str, parent: str, own: str, its: str = "id") -> sa.ForeignKeyConstraint:
    """Return what ties the rows of a table to a row of another one, and removes them with it."""
    return sa.ForeignKeyConstraint(
        ["tenant_id", own],
        [f"undercroft.{parent}.tenant_id", f"undercroft.{parent}.{its}"],
        name=f"fk_{name}_tenant_id_{own}",
        ondelete="CASCADE",
    )


def index(table: str, *columns: str, name: str | None = None, where: str | None = None, unique: bool = False) -> None:
    """Make an index that begins with the tenant; ``where`` is SQL."""
    condition = None if where is None else sa.text(where)
    op.create_index(
        name or f"ix_{table}_tenant_id_{'_'.join(columns)}",
        table,
        ["tenant_id", *columns],
        unique=unique,
        schema=SCHEMA,
        postgresql_where=condition,
        sqlite_where=condition,
    )
