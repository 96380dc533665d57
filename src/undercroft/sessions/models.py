"""The table of sessions."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base

_ACTIVE = sa.text("ended_at IS NULL")


class UserSession(Base):
    """What somebody is at in a channel; at most one is active for a user and channel.

    No index has `last_activity_at`: with one, every touch would write all of them anew. A tenant's active sessions are
    few, and found by the index of the active ones.
    """

    __tablename__ = "user_sessions"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.Index(
            "uq_user_sessions_active",
            "tenant_id",
            "user_native_id",
            "channel",
            unique=True,
            postgresql_where=_ACTIVE,
            sqlite_where=_ACTIVE,
        ),
        sa.Index(None, "tenant_id", "ended_at"),
        sa.Index(None, "tenant_id", "user_native_id", "id"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_native_id: Mapped[str]
    channel: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"))
    team: Mapped[str | None] = mapped_column(default=None)
    current_database: Mapped[str | None] = mapped_column(default=None)
    preferences: Mapped[dict[str, Any]] = mapped_column(
        default_factory=dict, server_default=sa.text("'{}'"), repr=False
    )
    started_at: Mapped[datetime]
    last_activity_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
