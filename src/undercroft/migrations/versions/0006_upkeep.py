"""Upkeep: retention policies, legal holds, and when it was last run."""

import sqlalchemy as sa

from undercroft.core.types import BigInt, Text, UtcDateTime
from undercroft.migrations.ddl import SCHEMA, column, of_tenant, table
from undercroft.migrations.operations import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SHARED = ("retention_policies", "upkeep_runs")


def upgrade() -> None:
    table(
        "retention_policies",
        column("data_class", Text),
        column("keep_seconds", BigInt, nullable=True),
        column("set_at", UtcDateTime),
        column("set_by", Text, nullable=True),
        sa.CheckConstraint("keep_seconds >= 0", name="ck_retention_policies_keep_seconds"),
        key=("data_class",),
    )
    table(
        "legal_holds",
        column("data_class", Text),
        column("reason", Text),
        column("held_at", UtcDateTime),
        column("held_by", Text, nullable=True),
        of_tenant("legal_holds"),
        key=("data_class",),
    )
    table(
        "upkeep_runs",
        column("job", Text),
        column("started_at", UtcDateTime, nullable=True),
        column("finished_at", UtcDateTime, nullable=True),
        column("removed", BigInt, "0"),
        column("next_run_at", UtcDateTime, nullable=True),
        key=("job",),
    )
    op.tenant_policy("legal_holds")
    for name in SHARED:
        op.shared_policy(name)
    op.script(postgresql="0006_upkeep")


def downgrade() -> None:
    op.script(postgresql="0006_drop_upkeep")
    for name in ("upkeep_runs", "legal_holds", "retention_policies"):
        op.drop_table(name, schema=SCHEMA)
