"""Does the database have the tables that the models describe?"""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from undercroft.core.schema import SCHEMA, Base
from undercroft.migrations.engines import Engine, engine
from undercroft.migrations.tables import OURS, is_on, without_schema

_PARTITIONS = sa.text(
    "SELECT relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'undercroft' AND c.relispartition"
)


def differences(connection: sa.Connection) -> list[str]:
    """Return how the database differs from our models, one line each; nothing in a healthy one.

    Tables of others are not looked at. Alembic compares tables, columns, types, defaults, keys and indexes, not CHECKs.
    """
    here = engine(connection.dialect)
    context = MigrationContext.configure(connection, opts=comparison(here, connection, OURS))
    metadata = without_schema(OURS) if here.version_schema is None else Base.metadata
    return [repr(difference) for difference in compare_metadata(context, metadata)]


def comparison(here: Engine, connection: sa.Connection, tables: Collection[sa.Table]) -> dict[str, Any]:
    """Return Alembic's options for comparing some tables and no others."""
    partitions = set(connection.scalars(_PARTITIONS)) if here.version_schema else set()
    keys = {(schema_on(here, table), table.name) for table in tables}
    schemas = {schema for schema, _ in keys}

    def include_name(name: str | None, kind: str, parent: Any) -> bool:
        if kind == "schema":
            return name in schemas
        if kind == "table":
            return (parent["schema_name"], name) in keys and name not in partitions
        return name != "ix_messages_search"  # with or without btree_gin, as the server has it

    def include_object(item: Any, name: str | None, kind: str, *_: Any) -> bool:
        return is_on(item, here.name) and (kind != "table" or (item.schema, name) in keys)

    return {
        "compare_type": True,
        "compare_server_default": True,
        "include_schemas": True,
        "include_name": include_name,
        "include_object": include_object,
        "version_table": here.version_table,
        "version_table_schema": here.version_schema,
    }


def schema_on(here: Engine, table: sa.Table) -> str | None:
    """Return the schema in which an engine has a table."""
    return here.version_schema if table.schema == SCHEMA else table.schema
