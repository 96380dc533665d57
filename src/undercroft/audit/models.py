"""The table of audit events: inserted and read, never changed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base


class AuditEvent(Base):
    """One thing that somebody did or tried; `canonical` holds the very bytes that `event_hash` was computed over."""

    __tablename__ = "audit_events"
    __table_args__ = (
        sa.CheckConstraint("status IN ('success', 'failure', 'denied')", name="status"),
        sa.CheckConstraint("length(event_hash) = 32", name="event_hash"),
        sa.Index(None, "tenant_id", "actor", "id"),
        sa.Index(None, "tenant_id", "resource_type", "resource_id", "id"),
        sa.Index(
            "ix_audit_events_failures",
            "tenant_id",
            "id",
            postgresql_where=sa.text("status <> 'success'"),
            sqlite_where=sa.text("status <> 'success'"),
        ),
        {"sqlite_strict": True, "postgresql_partition_by": "RANGE (id)"},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    event_type: Mapped[str]
    category: Mapped[str]
    action: Mapped[str]
    status: Mapped[str]
    description: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    actor_id: Mapped[UUID | None] = mapped_column(default=None)
    actor: Mapped[str | None] = mapped_column(default=None)
    resource_type: Mapped[str | None] = mapped_column(default=None)
    resource_id: Mapped[str | None] = mapped_column(default=None)
    ip: Mapped[str | None] = mapped_column(default=None, repr=False)
    user_agent: Mapped[str | None] = mapped_column(default=None, repr=False)
    data: Mapped[dict[str, Any]] = mapped_column(default_factory=dict, server_default=sa.text("'{}'"), repr=False)
    occurred_at: Mapped[datetime]
    canonical: Mapped[bytes] = mapped_column(repr=False)
    event_hash: Mapped[bytes] = mapped_column(repr=False)
