"""The table of questions and the SQL run for them."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base

_IN_SESSION = sa.text("session_id IS NOT NULL")
_APPROVED = sa.text("approved_at IS NOT NULL")
_STATUSES = "'running', 'success', 'failed', 'cancelled', 'declined', 'abandoned'"


class QueryRun(Base):
    """One question: the SQL made of it, how it ended, and how long that took in milliseconds."""

    __tablename__ = "query_history"
    __table_args__ = (
        sa.CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        sa.Index(None, "tenant_id", "user_native_id", "id"),
        sa.Index(None, "tenant_id", "status", "id"),
        sa.Index(None, "tenant_id", "database", "id"),
        sa.Index(None, "tenant_id", "sql_hash", "id"),
        sa.Index(None, "tenant_id", "session_id", "id", postgresql_where=_IN_SESSION, sqlite_where=_IN_SESSION),
        sa.Index("ix_query_history_approved", "tenant_id", "id", postgresql_where=_APPROVED, sqlite_where=_APPROVED),
        {"sqlite_strict": True, "postgresql_partition_by": "RANGE (id)"},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID | None] = mapped_column(default=None)
    user_native_id: Mapped[str | None] = mapped_column(default=None)
    question: Mapped[str] = mapped_column(repr=False)
    sql: Mapped[str | None] = mapped_column(default=None, repr=False)
    sql_hash: Mapped[bytes | None] = mapped_column(default=None, repr=False)
    database: Mapped[str | None] = mapped_column(default=None)
    status: Mapped[str]
    error: Mapped[str | None] = mapped_column(default=None, repr=False)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    execution_time_ms: Mapped[int | None] = mapped_column(default=None)
    row_count: Mapped[int | None] = mapped_column(default=None)
    result: Mapped[dict[str, Any] | None] = mapped_column(default=None, repr=False)
    warehouse_query_id: Mapped[str | None] = mapped_column(default=None)
    approved_by: Mapped[str | None] = mapped_column(default=None)
    approved_at: Mapped[datetime | None] = mapped_column(default=None)
