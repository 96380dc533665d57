"""The chain of the audit trail: links, marks of what is not sealed yet, and the ends of what was archived."""

import sqlalchemy as sa

from undercroft.core.types import BigInt, Binary, Text, UtcDateTime, Uuid
from undercroft.migrations.ddl import SCHEMA, column, table
from undercroft.migrations.operations import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = ("audit_links", "audit_pending", "audit_archives")


def upgrade() -> None:
    table(
        "audit_links",
        column("sequence", BigInt),
        column("event_id", Uuid),
        *(column(name, Binary) for name in ("event_hash", "previous", "hash")),
        sa.CheckConstraint("sequence > 0", name="ck_audit_links_sequence"),
        sa.CheckConstraint(
            "length(event_hash) = 32 AND length(previous) = 32 AND length(hash) = 32", name="ck_audit_links_hashes"
        ),
        key=("sequence",),
        sqlite_with_rowid=False,
    )
    table(
        "audit_pending",
        column("event_id", Uuid),
        column("event_hash", Binary),
        sa.CheckConstraint("length(event_hash) = 32", name="ck_audit_pending_event_hash"),
        key=("event_id",),
        sqlite_with_rowid=False,
    )
    table(
        "audit_archives",
        column("sequence", BigInt),
        column("hash", Binary),
        column("events", BigInt),
        column("file", Text),
        column("file_hash", Binary),
        column("checkpoint", Text),
        column("archived_at", UtcDateTime),
        sa.CheckConstraint("length(hash) = 32 AND length(file_hash) = 32", name="ck_audit_archives_hashes"),
        key=("sequence",),
    )
    for name in TABLES:
        op.tenant_policy(name)
    op.append_only("audit_links")
    op.append_only("audit_archives")
    op.hot_table("audit_pending")
    op.script(postgresql="0008_audit_postgresql", sqlite="0008_audit_sqlite")


def downgrade() -> None:
    op.script(postgresql="0008_drop_audit")
    for name in reversed(TABLES):
        op.drop_table(name, schema=SCHEMA)
