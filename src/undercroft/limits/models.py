"""The tables of limits and of what was used of them."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base


class ApiRateLimit(Base):
    """The definition of a limit; see `undercroft.limits.rules` for what is counted.

    ``parts`` is how many parts a unit has, ``length`` the milliseconds of a period, 0 for a month, ``refill`` the parts
    that a millisecond drains, 0 for a period.
    """

    __tablename__ = "api_rate_limits"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint("kind IN ('period', 'bucket')", name="kind"),
        sa.CheckConstraint("amount > 0 AND burst > 0 AND parts > 0 AND refill >= 0", name="positive"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    amount: Mapped[int]
    per: Mapped[str]
    burst: Mapped[int]
    each: Mapped[str]
    parts: Mapped[int]
    length: Mapped[int]
    refill: Mapped[int]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str | None] = mapped_column(default=None)


class ApiRateLimitUsage(Base):
    """What was used of a limit in a period, or of a bucket; a row is whole, so that one upsert decides.

    No index has `used` or `at`, which every take changes. Times are milliseconds since 1970, the database's; user and
    resource are empty where the limit does not tell them apart.
    """

    __tablename__ = "api_rate_limit_usage"
    __table_args__ = (
        sa.Index(None, "tenant_id", "ends"),
        sa.Index(None, "tenant_id", "user_native_id"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    user_native_id: Mapped[str] = mapped_column(primary_key=True)
    resource: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ends: Mapped[int]
    used: Mapped[int]
    at: Mapped[int]
    capacity: Mapped[int]
    refill: Mapped[int]
