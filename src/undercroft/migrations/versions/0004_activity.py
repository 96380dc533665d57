"""The view of users' activity says `last_activity`, as those who ask it do."""

from undercroft.migrations.operations import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.script(postgresql="0004_activity_postgresql", sqlite="0004_activity_sqlite")


def downgrade() -> None:
    op.script(postgresql="0004_drop_activity_postgresql", sqlite="0004_drop_activity_sqlite")
