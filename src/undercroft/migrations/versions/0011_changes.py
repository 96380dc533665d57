"""Live changes: what a process remembers is dropped when another one has changed it."""

from undercroft.core.types import BigInt, Text
from undercroft.migrations.ddl import SCHEMA, column, table
from undercroft.migrations.operations import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without a key into tenants: the fleet's own row is that of tenant_id zero.
    table(
        "change_versions",
        column("topic", Text),
        column("version", BigInt),
        column("changed_in", BigInt, "0"),
        key=("topic",),
    )
    op.tenant_policy("change_versions")
    op.hot_table("change_versions")
    op.script(postgresql="0011_changes")


def downgrade() -> None:
    op.script(postgresql="0011_drop_changes")
    op.drop_table("change_versions", schema=SCHEMA)
