"""Connections to CRMs, whose account an e-mail domain is, meetings and the states they came through."""

import sqlalchemy as sa

from undercroft.core.types import BigInt, Bool, Json, Text, UtcDateTime, Uuid
from undercroft.migrations.ddl import SCHEMA, column, index, of, of_tenant, table
from undercroft.migrations.operations import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = ("crm_connections", "account_mappings", "meeting_sessions", "meeting_changes")


def upgrade() -> None:
    _connections()
    _mappings()
    _meetings()
    _changes()
    for name in TABLES:
        op.tenant_policy(name)
    op.append_only("meeting_changes")


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name, schema=SCHEMA)


def _connections() -> None:
    table(
        "crm_connections",
        column("id", Uuid),
        column("provider", Text),
        column("name", Text, "''"),
        column("credentials", Text),
        column("is_default", Bool),
        column("settings", Json, "'{}'"),
        column("connected_by", Text, nullable=True),
        column("connected_at", UtcDateTime),
        column("updated_at", UtcDateTime),
        column("disconnected_at", UtcDateTime, nullable=True),
        of_tenant("crm_connections"),
        sa.UniqueConstraint("tenant_id", "provider", "name", name="uq_crm_connections_tenant_id_provider_name"),
        key=("id",),
    )
    index("crm_connections", name="uq_crm_connections_default", where="is_default", unique=True)


def _mappings() -> None:
    table(
        "account_mappings",
        column("connection_id", Uuid),
        column("email_domain", Text),
        column("account_id", Text),
        column("account_name", Text, "''"),
        column("verified", Bool),
        column("mapped_by", Text, nullable=True),
        column("created_at", UtcDateTime),
        column("updated_at", UtcDateTime),
        of("account_mappings", "crm_connections", "connection_id"),
        key=("connection_id", "email_domain"),
    )


def _meetings() -> None:
    states = "'received', 'transcribed', 'summarised', 'pushed', 'failed', 'cancelled'"
    table(
        "meeting_sessions",
        column("id", Uuid),
        column("source", Text),
        column("native_id", Text),
        column("user_native_id", Text, nullable=True),
        column("title", Text, "''"),
        column("state", Text),
        column("version", BigInt),
        column("attempts", BigInt),
        column("error", Text, nullable=True),
        column("failed_from", Text, nullable=True),
        column("held_by", Uuid, nullable=True),
        column("held_until", UtcDateTime, nullable=True),
        column("transcript", Text, nullable=True),
        column("summary", Text, nullable=True),
        column("action_items", Json, nullable=True),
        column("crm_connection_id", Uuid, nullable=True),
        column("crm_external_id", Text, nullable=True),
        column("crm_result", Json, nullable=True),
        column("started_at", UtcDateTime, nullable=True),
        column("created_at", UtcDateTime),
        column("updated_at", UtcDateTime),
        of_tenant("meeting_sessions"),
        sa.UniqueConstraint("tenant_id", "source", "native_id", name="uq_meeting_sessions_tenant_id_source_native_id"),
        sa.CheckConstraint(f"state IN ({states})", name="ck_meeting_sessions_state"),
        sa.CheckConstraint(
            "failed_from IN ('received', 'transcribed', 'summarised')", name="ck_meeting_sessions_failed_from"
        ),
        key=("id",),
    )
    for part in ("state", "user_native_id"):
        index("meeting_sessions", part, "id")


def _changes() -> None:
    table(
        "meeting_changes",
        column("meeting_id", Uuid),
        column("version", BigInt),
        column("state", Text),
        column("error", Text, nullable=True),
        column("at", UtcDateTime),
        of("meeting_changes", "meeting_sessions", "meeting_id"),
        key=("meeting_id", "version"),
    )
