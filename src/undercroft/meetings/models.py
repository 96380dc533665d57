"""The tables of meetings and of the states they came through."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base, Json

_STATES = "'received', 'transcribed', 'summarised', 'pushed', 'failed', 'cancelled'"


class MeetingSession(Base):
    """A recorded meeting on its way into the CRM; one for what its source calls it."""

    __tablename__ = "meeting_sessions"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.UniqueConstraint("tenant_id", "source", "native_id"),
        sa.CheckConstraint(f"state IN ({_STATES})", name="state"),
        sa.CheckConstraint("failed_from IN ('received', 'transcribed', 'summarised')", name="failed_from"),
        sa.Index(None, "tenant_id", "state", "id"),
        sa.Index(None, "tenant_id", "user_native_id", "id"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str]
    native_id: Mapped[str]
    user_native_id: Mapped[str | None] = mapped_column(default=None)
    title: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"))
    state: Mapped[str]
    version: Mapped[int]
    attempts: Mapped[int]
    error: Mapped[str | None] = mapped_column(default=None, repr=False)
    failed_from: Mapped[str | None] = mapped_column(default=None)
    held_by: Mapped[UUID | None] = mapped_column(default=None)
    held_until: Mapped[datetime | None] = mapped_column(default=None)
    transcript: Mapped[str | None] = mapped_column(default=None, repr=False)
    summary: Mapped[str | None] = mapped_column(default=None, repr=False)
    action_items: Mapped[list[Any] | dict[str, Any] | None] = mapped_column(Json, default=None, repr=False)
    crm_connection_id: Mapped[UUID | None] = mapped_column(default=None)
    crm_external_id: Mapped[str | None] = mapped_column(default=None)
    crm_result: Mapped[dict[str, Any] | None] = mapped_column(default=None, repr=False)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class MeetingChange(Base):
    """A state that a meeting came into; added and never changed."""

    __tablename__ = "meeting_changes"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["tenant_id", "meeting_id"],
            ["undercroft.meeting_sessions.tenant_id", "undercroft.meeting_sessions.id"],
            ondelete="CASCADE",
        ),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    meeting_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    error: Mapped[str | None] = mapped_column(default=None, repr=False)
    at: Mapped[datetime]
