"""What a text-to-SQL bot keeps: sessions, the history of queries, rights in the warehouse, cached results; views."""

import sqlalchemy as sa

from undercroft.core.types import BigInt, Binary, Json, Text, UtcDateTime, Uuid
from undercroft.migrations.ddl import SCHEMA, column, index, of, of_tenant, table
from undercroft.migrations.operations import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

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
    for name in TABLES:
        op.tenant_policy(name)
    op.partitioned("query_history")
    op.script(postgresql="0002_storage")
    op.script(postgresql="0002_views_postgresql", sqlite="0002_views_sqlite")


def downgrade() -> None:
    op.script(postgresql="0002_drop_views", sqlite="0002_drop_views")
    for name in reversed(TABLES):
        op.drop_table(name, schema=SCHEMA)


def _sessions() -> None:
    table(
        "user_sessions",
        column("id", Uuid),
        column("user_native_id", Text),
        column("channel", Text, "''"),
        column("team", Text, nullable=True),
        column("current_database", Text, nullable=True),
        column("preferences", Json, "'{}'"),
        column("started_at", UtcDateTime),
        column("last_activity_at", UtcDateTime),
        column("ended_at", UtcDateTime, nullable=True),
        of_tenant("user_sessions"),
        key=("id",),
    )
    index(
        "user_sessions",
        "user_native_id",
        "channel",
        name="uq_user_sessions_active",
        where="ended_at IS NULL",
        unique=True,
    )
    index("user_sessions", "ended_at")
    index("user_sessions", "user_native_id", "id")


def _queries() -> None:
    table(
        "query_history",
        column("id", Uuid),
        column("session_id", Uuid, nullable=True),
        column("user_native_id", Text, nullable=True),
        column("question", Text),
        column("sql", Text, nullable=True),
        column("sql_hash", Binary, nullable=True),
        column("database", Text, nullable=True),
        column("status", Text),
        column("error", Text, nullable=True),
        column("started_at", UtcDateTime),
        column("finished_at", UtcDateTime, nullable=True),
        column("execution_time_ms", BigInt, nullable=True),
        column("row_count", BigInt, nullable=True),
        column("result", Json, nullable=True),
        column("warehouse_query_id", Text, nullable=True),
        column("approved_by", Text, nullable=True),
        column("approved_at", UtcDateTime, nullable=True),
        sa.CheckConstraint(
            "status IN ('running', 'success', 'failed', 'cancelled', 'declined', 'abandoned')",
            name="ck_query_history_status",
        ),
        key=("id",),
        partition_by="id",
    )
    for part in ("user_native_id", "status", "database", "sql_hash"):
        index("query_history", part, "id")
    index("query_history", "session_id", "id", where="session_id IS NOT NULL")
    index("query_history", "id", name="ix_query_history_approved", where="approved_at IS NOT NULL")


def _mappings() -> None:
    table(
        "user_mappings",
        column("user_id", Uuid),
        column("native_id", Text),
        column("database_user", Text),
        column("role", Text),
        column("allowed_databases", Json),
        column("permissions", Json),
        column("created_at", UtcDateTime),
        column("updated_at", UtcDateTime),
        of_tenant("user_mappings"),
        key=("user_id",),
    )


def _cache() -> None:
    table(
        "query_cache",
        column("key", Binary),
        column("database", Text),
        column("sql", Text),
        column("value", Binary),
        column("size", BigInt),
        column("hits", BigInt, "0"),
        column("created_at", UtcDateTime),
        column("last_used_at", UtcDateTime),
        column("expires_at", UtcDateTime),
        sa.CheckConstraint("length(key) = 32", name="ck_query_cache_key"),
        of_tenant("query_cache"),
        key=("key",),
    )
    index("query_cache", "last_used_at")
    index("query_cache", "expires_at")
    table(
        "query_cache_tables",
        column("key", Binary),
        column("name", Text),
        of("query_cache_tables", "query_cache", "key", "key"),
        key=("key", "name"),
        sqlite_with_rowid=False,
    )
    index("query_cache_tables", "name")
    table(
        "query_cache_leases",
        column("key", Binary),
        column("holder", Uuid),
        column("database", Text),
        column("expires_at", UtcDateTime),
        sa.CheckConstraint("length(key) = 32", name="ck_query_cache_leases_key"),
        of_tenant("query_cache_leases"),
        key=("key",),
    )
    table(
        "query_cache_days",
        column("day", UtcDateTime),
        *(column(name, BigInt, "0") for name in ("hits", "misses", "uncacheable", "evicted", "invalidated")),
        of_tenant("query_cache_days"),
        key=("day",),
    )
