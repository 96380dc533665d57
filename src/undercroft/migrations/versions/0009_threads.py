"""What a bot remembers and measures: conversations, metrics and what they add up to, goals."""

import sqlalchemy as sa

from undercroft.core.types import BigInt, Bool, Json, Real, Text, UtcDateTime, Uuid
from undercroft.migrations.ddl import SCHEMA, column, index, of_tenant, table
from undercroft.migrations.operations import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PARTITIONED = {
    "thread_messages": "thread_id",
    "metrics": "id",
    "metric_rollups": "id",
    "goal_progress": "id",
}
TABLES = ("threads", "business_goals", *PARTITIONED)


def upgrade() -> None:
    _threads()
    _metrics()
    _goals()
    for name in TABLES:
        op.tenant_policy(name)
    for name in PARTITIONED:
        op.partitioned(name)
    op.hot_table("threads")
    op.script(postgresql="0009_threads")


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name, schema=SCHEMA)


def _threads() -> None:
    table(
        "threads",
        column("id", Uuid),
        column("key", Text),
        column("owner", Text, nullable=True),
        column("title", Text, nullable=True),
        column("data", Json, nullable=True),
        column("expires_after", BigInt, nullable=True),
        column("first_position", BigInt),
        column("last_position", BigInt),
        column("stored_from", BigInt),
        column("created_at", UtcDateTime),
        column("last_activity_at", UtcDateTime),
        column("active_hour", BigInt),
        sa.UniqueConstraint("tenant_id", "key", name="uq_threads_tenant_id_key"),
        of_tenant("threads"),
        key=("id",),
    )
    index("threads", "active_hour")
    index("threads", "owner", "active_hour", where="owner IS NOT NULL")
    index("threads", "active_hour", name="ix_threads_expiring", where="expires_after IS NOT NULL")
    index("threads", "id", name="ix_threads_restarted", where="first_position > stored_from")
    table(
        "thread_messages",
        column("thread_id", Uuid),
        column("position", BigInt),
        column("role", Text),
        column("user_native_id", Text, nullable=True),
        column("content", Text, nullable=True),
        column("parts", Json, nullable=True),
        column("tool_calls", Json, nullable=True),
        column("tool_call_id", Text, nullable=True),
        column("data", Json, nullable=True),
        column("created_at", UtcDateTime),
        key=("thread_id", "position"),
        partition_by=PARTITIONED["thread_messages"],
        sqlite_with_rowid=False,
    )


def _metrics() -> None:
    table(
        "metrics",
        column("id", Uuid),
        column("name", Text),
        column("value", Real),
        column("unit", Text, nullable=True),
        column("data", Json, nullable=True),
        column("measured_at", UtcDateTime),
        sa.Column("rolled_up", Bool, server_default=sa.false(), nullable=False),
        key=("id",),
        partition_by=PARTITIONED["metrics"],
    )
    index("metrics", "name", "id")
    index("metrics", "id", name="ix_metrics_pending", where="NOT rolled_up")
    table(
        "metric_rollups",
        column("id", Uuid),
        column("name", Text),
        column("resolution", BigInt),
        column("unit", Text, nullable=True),
        column("count", BigInt),
        column("total", Real),
        column("lowest", Real),
        column("highest", Real),
        column("sketch", Json),
        column("started_at", UtcDateTime),
        key=("id",),
        partition_by=PARTITIONED["metric_rollups"],
    )
    index("metric_rollups", "name", "resolution", "id")
    index("metric_rollups", "resolution", "id")


def _goals() -> None:
    table(
        "business_goals",
        column("key", Text),
        column("title", Text),
        column("description", Text, "''"),
        column("area", Text),
        column("status", Text),
        column("priority", BigInt),
        column("progress", BigInt),
        column("owner", Text, nullable=True),
        column("weekly_actions", Json),
        column("success_metrics", Json),
        column("created_at", UtcDateTime),
        column("updated_at", UtcDateTime),
        sa.CheckConstraint(
            "status IN ('not_started', 'in_progress', 'on_hold', 'completed', 'cancelled')",
            name="ck_business_goals_status",
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 5", name="ck_business_goals_priority"),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name="ck_business_goals_progress"),
        of_tenant("business_goals"),
        key=("key",),
    )
    index("business_goals", "status", "priority")
    index("business_goals", "area")
    table(
        "goal_progress",
        column("id", Uuid),
        column("goal_key", Text),
        column("progress", BigInt),
        column("status", Text),
        column("actor", Text, nullable=True),
        column("recorded_at", UtcDateTime),
        key=("id",),
        partition_by=PARTITIONED["goal_progress"],
    )
    index("goal_progress", "goal_key", "id")
