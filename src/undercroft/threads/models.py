"""The tables of conversations."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base, Json

_EXPIRING = sa.text("expires_after IS NOT NULL")
_OWNED = sa.text("owner IS NOT NULL")
_RESTARTED = sa.text("first_position > stored_from")


class Thread(Base):
    """A conversation: ``first_position`` to ``last_position`` are its messages, without a gap.

    Every append changes the row, so no index has what an append changes: ``active_hour``, by which the newest are
    found, changes once an hour. Messages before ``first_position`` are those of a conversation that expired; they are
    stored from ``stored_from`` on until somebody cleans up.
    """

    __tablename__ = "threads"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.UniqueConstraint("tenant_id", "key"),
        sa.Index(None, "tenant_id", "active_hour"),
        sa.Index(None, "tenant_id", "owner", "active_hour", postgresql_where=_OWNED, sqlite_where=_OWNED),
        sa.Index("ix_threads_expiring", "tenant_id", "active_hour", postgresql_where=_EXPIRING, sqlite_where=_EXPIRING),
        sa.Index("ix_threads_restarted", "tenant_id", "id", postgresql_where=_RESTARTED, sqlite_where=_RESTARTED),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str]
    owner: Mapped[str | None] = mapped_column(default=None)
    title: Mapped[str | None] = mapped_column(default=None)
    data: Mapped[dict[str, Any] | None] = mapped_column(default=None, repr=False)
    expires_after: Mapped[int | None] = mapped_column(default=None)
    first_position: Mapped[int]
    last_position: Mapped[int]
    stored_from: Mapped[int]
    created_at: Mapped[datetime]
    last_activity_at: Mapped[datetime]
    active_hour: Mapped[int]


class ThreadMessage(Base):
    """One message of a conversation; those of a conversation lie beside each other, in the year in which it began."""

    __tablename__ = "thread_messages"
    __table_args__ = (
        {"sqlite_strict": True, "sqlite_with_rowid": False, "postgresql_partition_by": "RANGE (thread_id)"},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    thread_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[str]
    user_native_id: Mapped[str | None] = mapped_column(default=None)
    content: Mapped[str | None] = mapped_column(default=None, repr=False)
    parts: Mapped[list[Any] | None] = mapped_column(Json, default=None, repr=False)
    tool_calls: Mapped[list[Any] | None] = mapped_column(Json, default=None, repr=False)
    tool_call_id: Mapped[str | None] = mapped_column(default=None)
    data: Mapped[dict[str, Any] | None] = mapped_column(default=None, repr=False)
    created_at: Mapped[datetime]
