"""What a text-to-SQL bot keeps: sessions, the history of queries, rights in the warehouse, cached results; views."""

from typing import Any

import sqlalchemy as sa

from undercroft.core.types import BigInt, Binary, Json, Text, UtcDateTime, Uuid
from undercroft.migrations.operations import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "undercroft"
TABLES = (
    "user_sessions",
    "query_history",
    "user_mappings",
    "query_cache",
    "query_cache_tables",
    "query_cache_leases",
    "query_cache_days",
)


def upgrade() -> None:
    _sessions()
    _queries()
    _mappings()
    _cache()
    for table in TABLES:
        op.tenant_policy(table)
    op.partitioned("query_history")
    op.script(postgresql="0002_storage")
    op.script(postgresql="0002_views_postgresql", sqlite="0002_views_sqlite")


def downgrade() -> None:
    op.script(postgresql="0002_drop_views", sqlite="0002_drop_views")
    for table in reversed(TABLES):
        op.drop_table(table, schema=SCHEMA)


def _table(
    name: str, *columns: sa.schema.SchemaItem, key: tuple[str, ...], tenant: bool = True, **options: Any
) -> None:
    keys: list[sa.schema.SchemaItem] = [sa.PrimaryKeyConstraint("tenant_id", *key, name=f"pk_{name}")]
    if tenant:
        keys.append(
            sa.ForeignKeyConstraint(
                ["tenant_id"], ["undercroft.tenants.tenant_id"], name=f"fk_{name}_tenant_id", ondelete="RESTRICT"
            )
        )
    op.create_table(
        name,
        sa.Column("tenant_id", Uuid, nullable=False),
        *columns,
        *keys,
        schema=SCHEMA,
        sqlite_strict=True,
        **options,
    )


def _index(table: str, *columns: str, name: str | None = None, where: str | None = None, unique: bool = False) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name or f"ix_{table}_{'_'.join(columns)}",
        table,
        list(columns),
        unique=unique,
        schema=SCHEMA,
        postgresql_where=condition,
        sqlite_where=condition,
    )


def _column(name: str, kind: Any, default: str | None = None, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, server_default=None if default is None else sa.text(default), nullable=nullable)


def _sessions() -> None:
    _table(
        "user_sessions",
        _column("id", Uuid),
        _column("user_native_id", Text),
        _column("channel", Text, "''"),
        _column("team", Text, nullable=True),
        _column("current_database", Text, nullable=True),
        _column("preferences", Json, "'{}'"),
        _column("started_at", UtcDateTime),
        _column("last_activity_at", UtcDateTime),
        _column("ended_at", UtcDateTime, nullable=True),
        key=("id",),
    )
    active = ("tenant_id", "user_native_id", "channel")
    _index("user_sessions", *active, name="uq_user_sessions_active", where="ended_at IS NULL", unique=True)
    _index("user_sessions", "tenant_id", "ended_at")
    _index("user_sessions", "tenant_id", "user_native_id", "id")


def _queries() -> None:
    _table(
        "query_history",
        _column("id", Uuid),
        _column("session_id", Uuid, nullable=True),
        _column("user_native_id", Text, nullable=True),
        _column("question", Text),
        _column("sql", Text, nullable=True),
        _column("sql_hash", Binary, nullable=True),
        _column("database", Text, nullable=True),
        _column("status", Text),
        _column("error", Text, nullable=True),
        _column("started_at", UtcDateTime),
        _column("finished_at", UtcDateTime, nullable=True),
        _column("execution_time_ms", BigInt, nullable=True),
        _column("row_count", BigInt, nullable=True),
        _column("result", Json, nullable=True),
        _column("warehouse_query_id", Text, nullable=True),
        _column("approved_by", Text, nullable=True),
        _column("approved_at", UtcDateTime, nullable=True),
        sa.CheckConstraint(
            "status IN ('running', 'success', 'failed', 'cancelled', 'declined', 'abandoned')",
            name="ck_query_history_status",
        ),
        key=("id",),
        tenant=False,  # a row of a partitioned table refers to nothing, so that it costs no look-up
        postgresql_partition_by="RANGE (id)",
    )
    for column in ("user_native_id", "status", "database", "sql_hash"):
        _index("query_history", "tenant_id", column, "id")
    _index("query_history", "tenant_id", "session_id", "id", where="session_id IS NOT NULL")
    _index("query_history", "tenant_id", "id", name="ix_query_history_approved", where="approved_at IS NOT NULL")


def _mappings() -> None:
    _table(
        "user_mappings",
        _column("user_id", Uuid),
        _column("native_id", Text),
        _column("database_user", Text),
        _column("role", Text),
        _column("allowed_databases", Json),
        _column("permissions", Json),
        _column("created_at", UtcDateTime),
        _column("updated_at", UtcDateTime),
        key=("user_id",),
    )


def _cache() -> None:
    _table(
        "query_cache",
        _column("key", Binary),
        _column("database", Text),
        _column("sql", Text),
        _column("value", Binary),
        _column("size", BigInt),
        _column("hits", BigInt, "0"),
        _column("created_at", UtcDateTime),
        _column("last_used_at", UtcDateTime),
        _column("expires_at", UtcDateTime),
        sa.CheckConstraint("length(key) = 32", name="ck_query_cache_key"),
        key=("key",),
    )
    _index("query_cache", "tenant_id", "last_used_at")
    _index("query_cache", "tenant_id", "expires_at")
    _table(
        "query_cache_tables",
        _column("key", Binary),
        _column("name", Text),
        sa.ForeignKeyConstraint(
            ["tenant_id", "key"],
            ["undercroft.query_cache.tenant_id", "undercroft.query_cache.key"],
            name="fk_query_cache_tables_tenant_id_key",
            ondelete="CASCADE",
        ),
        key=("key", "name"),
        tenant=False,
        sqlite_with_rowid=False,
    )
    _index("query_cache_tables", "tenant_id", "name")
    _table(
        "query_cache_leases",
        _column("key", Binary),
        _column("holder", Uuid),
        _column("database", Text),
        _column("expires_at", UtcDateTime),
        sa.CheckConstraint("length(key) = 32", name="ck_query_cache_leases_key"),
        key=("key",),
    )
    _table(
        "query_cache_days",
        _column("day", UtcDateTime),
        *(_column(name, BigInt, "0") for name in ("hits", "misses", "uncacheable", "evicted", "invalidated")),
        key=("day",),
    )
