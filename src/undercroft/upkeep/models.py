"""The tables of upkeep: how long what is kept, what is kept whatever else is said, and when it was last looked after.

What is the fleet's stands under `FLEET_ID`: every tenant reads it, the fleet alone writes it.
"""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base

FLEET_ID = UUID(int=0)
RETENTION = "retention"
"""The job that removes what is older than its policy allows."""


class RetentionPolicy(Base):
    """How long a tenant, or the fleet, keeps the rows of a data class; without a number of seconds, for ever."""

    __tablename__ = "retention_policies"
    __table_args__ = (sa.CheckConstraint("keep_seconds >= 0", name="keep_seconds"), {"sqlite_strict": True})

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    data_class: Mapped[str] = mapped_column(primary_key=True)
    keep_seconds: Mapped[int | None] = mapped_column(default=None)
    set_at: Mapped[datetime]
    set_by: Mapped[str | None] = mapped_column(default=None)


class LegalHold(Base):
    """That nothing of a data class of a tenant may be removed, whatever its policy says."""

    __tablename__ = "legal_holds"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    data_class: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(repr=False)
    held_at: Mapped[datetime]
    held_by: Mapped[str | None] = mapped_column(default=None)


class UpkeepRun(Base):
    """The last run of a job over a tenant, or over the fleet.

    Each batch takes its row first, and so does whoever sets a hold.
    """

    __tablename__ = "upkeep_runs"
    __table_args__ = {"sqlite_strict": True}  # noqa: RUF012 - SQLAlchemy reads it off the class

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    job: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    removed: Mapped[int] = mapped_column(default_factory=int, server_default=sa.text("0"))
    next_run_at: Mapped[datetime | None] = mapped_column(default=None)
