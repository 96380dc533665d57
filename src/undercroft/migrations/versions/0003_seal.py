"""Sealed tenants on PostgreSQL: the keys, and the functions that set_seal() puts in place of the plain ones."""

from undercroft.migrations.operations import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.script(postgresql="0003_seal")


def downgrade() -> None:
    op.script(postgresql="0003_drop_seal")
