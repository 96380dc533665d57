"""What an assistant is set to, for whom its features are on, and what single users prefer."""

import sqlalchemy as sa

from undercroft.core.types import BigInt, Bool, Json, Text, UtcDateTime
from undercroft.migrations.ddl import SCHEMA, column, of_tenant, table
from undercroft.migrations.operations import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = ("app_settings", "feature_flags", "user_preferences")
KINDS = "'bool', 'int', 'float', 'str', 'json', 'datetime'"


def upgrade() -> None:
    table(
        "app_settings",
        column("name", Text),
        column("kind", Text),
        column("value", Text),
        column("description", Text, "''"),
        column("created_at", UtcDateTime),
        column("updated_at", UtcDateTime),
        column("updated_by", Text, nullable=True),
        sa.CheckConstraint(f"kind IN ({KINDS})", name="ck_app_settings_kind"),
        of_tenant("app_settings"),
        key=("name",),
    )
    table(
        "feature_flags",
        column("name", Text),
        column("enabled", Bool),
        column("users", Json),
        column("except_users", Json),
        column("share", BigInt, nullable=True),
        column("description", Text, "''"),
        column("created_at", UtcDateTime),
        column("updated_at", UtcDateTime),
        column("updated_by", Text, nullable=True),
        sa.CheckConstraint("share BETWEEN 0 AND 1000000", name="ck_feature_flags_share"),
        of_tenant("feature_flags"),
        key=("name",),
    )
    table(
        "user_preferences",
        column("user_native_id", Text),
        column("name", Text),
        column("kind", Text),
        column("value", Text),
        column("updated_at", UtcDateTime),
        sa.CheckConstraint(f"kind IN ({KINDS})", name="ck_user_preferences_kind"),
        of_tenant("user_preferences"),
        key=("user_native_id", "name"),
    )
    for name in TABLES:
        op.tenant_policy(name)


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name, schema=SCHEMA)
