"""Configurations and every version of them."""

import sqlalchemy as sa

from undercroft.core.types import BigInt, Binary, Bool, Text, UtcDateTime
from undercroft.migrations.ddl import SCHEMA, column, index, of_tenant, table
from undercroft.migrations.operations import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ONE_VALUE = "value IS NULL OR sealed IS NULL"
TABLES = ("configurations", "config_audit")


def upgrade() -> None:
    _configurations()
    _versions()
    for name in TABLES:
        op.tenant_policy(name)
    op.append_only("config_audit")


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name, schema=SCHEMA)


def _configurations() -> None:
    table(
        "configurations",
        column("key", Text),
        column("version", BigInt),
        column("category", Text),
        column("description", Text),
        column("is_sensitive", Bool),
        column("value", Text, nullable=True),
        column("sealed", Binary, nullable=True),
        column("created_at", UtcDateTime),
        column("updated_at", UtcDateTime),
        column("updated_by", Text, nullable=True),
        of_tenant("configurations"),
        sa.CheckConstraint(ONE_VALUE, name="ck_configurations_value"),
        key=("key",),
    )
    index("configurations", "category", "key")


def _versions() -> None:
    table(
        "config_audit",
        column("key", Text),
        column("version", BigInt),
        column("position", BigInt),
        column("change", Text),
        column("rolled_back_to", BigInt, nullable=True),
        column("category", Text),
        column("description", Text),
        column("is_sensitive", Bool),
        column("value", Text, nullable=True),
        column("sealed", Binary, nullable=True),
        column("changed_at", UtcDateTime),
        column("changed_by", Text, nullable=True),
        sa.CheckConstraint("version > 0", name="ck_config_audit_version"),
        sa.CheckConstraint("change IN ('set', 'delete', 'rollback')", name="ck_config_audit_change"),
        of_tenant("config_audit"),
        sa.CheckConstraint(ONE_VALUE, name="ck_config_audit_value"),
        key=("key", "version"),
    )
    index("config_audit", "position", "key")
