"""The table of tenants: the root of everything, and the one table that fleet-wide calls see whole."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base


class Tenant(Base):
    """A workspace, guild or customer; its id is computed from (platform, native id), so no other key is needed."""

    __tablename__ = "tenants"
    __table_args__ = {"sqlite_strict": True}  # noqa: RUF012 - SQLAlchemy reads it off the class

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    platform: Mapped[str]
    native_id: Mapped[str]
    name: Mapped[str]
    plan_tier: Mapped[str] = mapped_column(default_factory=lambda: "free", server_default="free")
    subscription_status: Mapped[str] = mapped_column(default_factory=lambda: "active", server_default="active")
    settings: Mapped[dict[str, Any]] = mapped_column(default_factory=dict, server_default=sa.text("'{}'"), repr=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None] = mapped_column(default=None)
