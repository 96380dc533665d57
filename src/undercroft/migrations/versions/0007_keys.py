"""Secrets that are stored sealed, and how far a change of the key has come."""

from undercroft.core.types import BigInt, Binary, Text, UtcDateTime, Uuid
from undercroft.migrations.ddl import SCHEMA, column, of_tenant, table
from undercroft.migrations.operations import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("secrets", "reseal_cursors")


def upgrade() -> None:
    table(
        "secrets",
        column("name", Text),
        column("id", Uuid),
        column("version", BigInt),
        column("value", Binary),
        column("created_at", UtcDateTime),
        column("updated_at", UtcDateTime),
        column("updated_by", Text, nullable=True),
        of_tenant("secrets"),
        key=("name",),
    )
    table(
        "reseal_cursors",
        column("table_name", Text),
        column("column_name", Text),
        column("key_id", Binary),
        column("updated_at", UtcDateTime),
        of_tenant("reseal_cursors"),
        key=("table_name", "column_name"),
    )
    for name in TABLES:
        op.tenant_policy(name)


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name, schema=SCHEMA)
