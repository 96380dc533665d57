"""Tenants, users, the message archive, the audit trail, idempotency keys: the walls between tenants stand first."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from undercroft.core.types import BigInt, Binary, Bool, Json, Text, UtcDateTime, Uuid
from undercroft.migrations.operations import op

revision = "0001"
down_revision = None
branch_labels = ("undercroft",)
depends_on = None

SCHEMA = "undercroft"
OF_MESSAGES = ("message_versions", "attachments", "reactions", "reaction_users", "mentions")
PARTITIONED = {"messages": "id", "audit_events": "id"} | dict.fromkeys(OF_MESSAGES, "message_id")
TENANT_TABLES = ("users", "channels", "channel_members", "quarantine", "idempotency_keys", *PARTITIONED)
WITHOUT_ROWID = {"channel_members", "reactions", "reaction_users", "mentions"}


def upgrade() -> None:
    op.script(postgresql="0001_tenancy")
    _people()
    _archive()
    _records()
    op.script(postgresql="0001_fleet_policy")
    for table in TENANT_TABLES:
        op.tenant_policy(table)
    op.append_only("audit_events")
    op.hot_table("idempotency_keys")
    for table in PARTITIONED:
        op.partitioned(table)
    op.script(postgresql="0001_search_postgresql", sqlite="0001_search_sqlite")
    op.script(postgresql="0001_partitions")
    op.script(postgresql="0001_default_tenant_postgresql", sqlite="0001_default_tenant_sqlite")


def downgrade() -> None:
    op.script(postgresql="0001_drop_functions", sqlite="0001_drop_search_sqlite")
    for table in reversed(("tenants", *TENANT_TABLES)):
        op.drop_table(table, schema=SCHEMA)
    op.script(postgresql="0001_drop_tenancy")


def _table(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        *columns,
        schema=SCHEMA,
        sqlite_strict=True,
        sqlite_with_rowid=name not in WITHOUT_ROWID,
        postgresql_partition_by=f"RANGE ({PARTITIONED[name]})" if name in PARTITIONED else None,
    )


def _index(table: str, *columns: str, name: str | None = None, where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name or f"ix_{table}_{'_'.join(columns)}",
        table,
        list(columns),
        schema=SCHEMA,
        postgresql_where=condition,
        sqlite_where=condition,
    )


def _key(*names: str) -> tuple[sa.schema.SchemaItem, ...]:
    """Return the columns of a primary key of UUIDs."""
    return tuple(sa.Column(name, Uuid, nullable=False) for name in names)


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, Text, server_default=None if default is None else sa.text(f"'{default}'"), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, Bool, server_default=sa.false(), nullable=False)


def _object(name: str) -> sa.Column[Any]:
    return sa.Column(name, Json, server_default=sa.text("'{}'"), nullable=False)


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(name, UtcDateTime, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, BigInt, nullable=False)


def _people() -> None:
    _table(
        "tenants",
        *_key("tenant_id"),
        _text("platform"),
        _text("native_id"),
        _text("name"),
        _text("plan_tier", "free"),
        _text("subscription_status", "active"),
        _object("settings"),
        _moment("created_at"),
        _moment("updated_at"),
        sa.Column("deleted_at", UtcDateTime),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_tenants"),
    )
    _table(
        "users",
        *_key("tenant_id", "id"),
        _text("platform"),
        _text("native_id"),
        _text("name", ""),
        _text("display_name", ""),
        _text("real_name", ""),
        sa.Column("email", Text),
        _text("role", "member"),
        _flag("is_bot"),
        _flag("is_stub"),
        sa.Column("timezone", Text),
        _object("preferences"),
        _object("profile"),
        _moment("created_at"),
        _moment("updated_at"),
        sa.Column("deleted_at", UtcDateTime),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_users"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["undercroft.tenants.tenant_id"], name="fk_users_tenant_id", ondelete="RESTRICT"
        ),
        sa.CheckConstraint("role IN ('owner', 'admin', 'member', 'viewer')", name="ck_users_role"),
    )
    _index("users", "tenant_id", "native_id")
    _index("users", "tenant_id", "email", where="email IS NOT NULL")


def _archive() -> None:
    _table(
        "channels",
        *_key("tenant_id", "id"),
        _text("native_id"),
        _text("name"),
        _text("kind"),
        _text("topic", ""),
        _text("purpose", ""),
        sa.Column("creator_id", Uuid),
        _flag("is_archived"),
        sa.Column("created_at", UtcDateTime),
        _object("extra"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_channels"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["undercroft.tenants.tenant_id"], name="fk_channels_tenant_id", ondelete="RESTRICT"
        ),
    )
    _index("channels", "tenant_id", "native_id")
    _table(
        "channel_members",
        *_key("tenant_id", "channel_id", "user_id"),
        sa.PrimaryKeyConstraint("tenant_id", "channel_id", "user_id", name="pk_channel_members"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "channel_id"],
            ["undercroft.channels.tenant_id", "undercroft.channels.id"],
            name="fk_channel_members_tenant_id_channel_id",
            ondelete="CASCADE",
        ),
    )
    _index("channel_members", "tenant_id", "user_id", "channel_id")
    _table(
        "messages",
        *_key("tenant_id", "id", "channel_id"),
        _text("native_id"),
        sa.Column("author_id", Uuid),
        _text("author_name", ""),
        _text("kind", "message"),
        _text("text"),
        sa.Column("plain", Text),
        _text("search_words", ""),
        sa.Column("thread_id", Uuid),
        sa.Column("reply_to_id", Uuid),
        _flag("is_broadcast"),
        _moment("sent_at"),
        sa.Column("edited_at", UtcDateTime),
        sa.Column("edited_by", Uuid),
        sa.Column("deleted_at", UtcDateTime),
        _flag("has_file"),
        _flag("has_link"),
        _flag("has_reaction"),
        sa.Column("search_version", BigInt, server_default=sa.text("0"), nullable=False),
        _object("extra"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_messages"),
    )
    _index("messages", "tenant_id", "channel_id", "id")
    _index("messages", "tenant_id", "author_id", "id")
    _index("messages", "tenant_id", "thread_id", "id", where="thread_id IS NOT NULL")
    _of_message(
        "message_versions",
        ("version",),
        _number("version"),
        _text("text"),
        sa.Column("edited_at", UtcDateTime),
        sa.Column("edited_by", Uuid),
        _moment("seen_at"),
    )
    _of_message(
        "attachments",
        ("position",),
        _number("position"),
        _text("native_id"),
        _text("kind"),
        _text("name", ""),
        _text("title", ""),
        sa.Column("mimetype", Text),
        sa.Column("size", BigInt),
        sa.Column("url", Text),
        _object("extra"),
    )
    _of_message("reactions", ("emoji",), _text("emoji"), _number("count"))
    _of_message(
        "reaction_users", ("emoji", "user_id"), _text("emoji"), *_key("user_id"), sa.Column("removed_at", UtcDateTime)
    )
    _of_message("mentions", ("kind", "native_id"), _text("kind"), _text("native_id"), sa.Column("target_id", Uuid))
    _table(
        "quarantine",
        *_key("tenant_id", "id"),
        _text("source"),
        _text("path"),
        _number("position"),
        _text("reason"),
        _text("record"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_quarantine"),
    )


def _of_message(table: str, key: tuple[str, ...], *columns: sa.schema.SchemaItem) -> None:
    _table(
        table,
        *_key("tenant_id", "message_id"),
        *columns,
        sa.PrimaryKeyConstraint("tenant_id", "message_id", *key, name=f"pk_{table}"),
    )


def _records() -> None:
    _table(
        "audit_events",
        *_key("tenant_id", "id"),
        _text("event_type"),
        _text("category"),
        _text("action"),
        _text("status"),
        _text("description", ""),
        sa.Column("actor_id", Uuid),
        sa.Column("actor", Text),
        sa.Column("resource_type", Text),
        sa.Column("resource_id", Text),
        sa.Column("ip", Text),
        sa.Column("user_agent", Text),
        _object("data"),
        _moment("occurred_at"),
        sa.Column("canonical", Binary, nullable=False),
        sa.Column("event_hash", Binary, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_audit_events"),
        sa.CheckConstraint("status IN ('success', 'failure', 'denied')", name="ck_audit_events_status"),
        sa.CheckConstraint("length(event_hash) = 32", name="ck_audit_events_event_hash"),
    )
    _index("audit_events", "tenant_id", "actor", "id")
    _index("audit_events", "tenant_id", "resource_type", "resource_id", "id")
    _index("audit_events", "tenant_id", "id", name="ix_audit_events_failures", where="status <> 'success'")
    _table(
        "idempotency_keys",
        *_key("tenant_id"),
        _text("operation"),
        _text("key"),
        sa.Column("request_hash", Binary, nullable=False),
        sa.Column("response", Json),
        _moment("created_at"),
        _moment("expires_at"),
        sa.PrimaryKeyConstraint("tenant_id", "operation", "key", name="pk_idempotency_keys"),
    )
    _index("idempotency_keys", "tenant_id", "expires_at")
