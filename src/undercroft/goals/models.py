"""The tables of goals."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base, Json

_STATUSES = "'not_started', 'in_progress', 'on_hold', 'completed', 'cancelled'"


class BusinessGoal(Base):
    """What somebody wants to reach: ``priority`` is 1 to 5, the highest, ``progress`` 0 to 100."""

    __tablename__ = "business_goals"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        sa.CheckConstraint("priority BETWEEN 1 AND 5", name="priority"),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
        sa.Index(None, "tenant_id", "status", "priority"),
        sa.Index(None, "tenant_id", "area"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    area: Mapped[str]
    status: Mapped[str]
    priority: Mapped[int]
    progress: Mapped[int]
    owner: Mapped[str | None] = mapped_column(default=None)
    weekly_actions: Mapped[list[str]] = mapped_column(Json, repr=False)
    success_metrics: Mapped[dict[str, Any]] = mapped_column(Json, repr=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class GoalProgress(Base):
    """How far a goal was from a moment on; never changed."""

    __tablename__ = "goal_progress"
    __table_args__ = (
        sa.Index(None, "tenant_id", "goal_key", "id"),
        {"sqlite_strict": True, "postgresql_partition_by": "RANGE (id)"},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    goal_key: Mapped[str]
    progress: Mapped[int]
    status: Mapped[str]
    actor: Mapped[str | None] = mapped_column(default=None)
    recorded_at: Mapped[datetime]
