"""The tables of metrics: what was measured, and what it adds up to."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base, Json

_PENDING = sa.text("NOT rolled_up")


class Metric(Base):
    """One measurement; its id carries the moment it is of, ``rolled_up`` tells whether the rollups have it."""

    __tablename__ = "metrics"
    __table_args__ = (
        sa.Index(None, "tenant_id", "name", "id"),
        sa.Index("ix_metrics_pending", "tenant_id", "id", postgresql_where=_PENDING, sqlite_where=_PENDING),
        {"sqlite_strict": True, "postgresql_partition_by": "RANGE (id)"},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    value: Mapped[float]
    unit: Mapped[str | None] = mapped_column(default=None)
    data: Mapped[dict[str, Any] | None] = mapped_column(Json, default=None, repr=False)
    measured_at: Mapped[datetime]
    rolled_up: Mapped[bool] = mapped_column(default_factory=bool, server_default=sa.false())


class MetricRollup(Base):
    """What the measurements of a name add up to in a minute, an hour or a day: ``resolution`` is its seconds.

    The id is computed from name, resolution and beginning, and carries the last. ``sketch`` counts logarithmic classes
    of values (see `undercroft.metrics.rules`).
    """

    __tablename__ = "metric_rollups"
    __table_args__ = (
        sa.Index(None, "tenant_id", "name", "resolution", "id"),
        sa.Index(None, "tenant_id", "resolution", "id"),
        {"sqlite_strict": True, "postgresql_partition_by": "RANGE (id)"},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    resolution: Mapped[int]
    unit: Mapped[str | None] = mapped_column(default=None)
    count: Mapped[int]
    total: Mapped[float]
    lowest: Mapped[float]
    highest: Mapped[float]
    sketch: Mapped[dict[str, Any]] = mapped_column(Json, repr=False)
    started_at: Mapped[datetime]
