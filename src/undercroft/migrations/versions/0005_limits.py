"""Limits: their definitions, and the counters of what was used of them."""

import sqlalchemy as sa

from undercroft.core.types import BigInt, Text, UtcDateTime
from undercroft.migrations.ddl import SCHEMA, column, index, of_tenant, table
from undercroft.migrations.operations import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("api_rate_limits", "api_rate_limit_usage")


def upgrade() -> None:
    table(
        "api_rate_limits",
        column("name", Text),
        column("kind", Text),
        column("amount", BigInt),
        column("per", Text),
        column("burst", BigInt),
        column("each", Text),
        *(column(name, BigInt) for name in ("parts", "length", "refill")),
        column("updated_at", UtcDateTime),
        column("updated_by", Text, nullable=True),
        of_tenant("api_rate_limits"),
        sa.CheckConstraint("kind IN ('period', 'bucket')", name="ck_api_rate_limits_kind"),
        sa.CheckConstraint(
            "amount > 0 AND burst > 0 AND parts > 0 AND refill >= 0", name="ck_api_rate_limits_positive"
        ),
        key=("name",),
    )
    counted = ("name", "user_native_id", "resource")
    table(
        "api_rate_limit_usage",
        *(column(name, Text) for name in counted),
        *(column(name, BigInt) for name in ("period", "ends", "used", "at", "capacity", "refill")),
        key=(*counted, "period"),
    )
    index("api_rate_limit_usage", "ends")
    index("api_rate_limit_usage", "user_native_id")
    for name in TABLES:
        op.tenant_policy(name)
    op.hot_table("api_rate_limit_usage")
    op.script(postgresql="0005_counters")


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name, schema=SCHEMA)
