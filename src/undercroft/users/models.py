"""The table of users: the accounts of a tenant, people and bots."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base, Json


class User(Base):
    """One account; a stub stands for an author of whom nothing but the platform's id is known."""

    __tablename__ = "users"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint("role IN ('owner', 'admin', 'member', 'viewer')", name="role"),
        sa.Index(None, "tenant_id", "native_id"),
        sa.Index(
            None,
            "tenant_id",
            "email",
            postgresql_where=sa.text("email IS NOT NULL"),
            sqlite_where=sa.text("email IS NOT NULL"),
        ),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    platform: Mapped[str]
    native_id: Mapped[str]
    name: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"))
    display_name: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"))
    real_name: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    email: Mapped[str | None] = mapped_column(default=None, repr=False)
    role: Mapped[str] = mapped_column(default_factory=lambda: "member", server_default="member")
    is_bot: Mapped[bool] = mapped_column(default_factory=bool, server_default=sa.false())
    is_stub: Mapped[bool] = mapped_column(default_factory=bool, server_default=sa.false())
    timezone: Mapped[str | None] = mapped_column(default=None)
    preferences: Mapped[dict[str, Any]] = mapped_column(
        default_factory=dict, server_default=sa.text("'{}'"), repr=False
    )
    profile: Mapped[dict[str, Any]] = mapped_column(default_factory=dict, server_default=sa.text("'{}'"), repr=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None] = mapped_column(default=None)


class UserMapping(Base):
    """As whom a user asks a warehouse, which databases of it, and what he may do there."""

    __tablename__ = "user_mappings"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    native_id: Mapped[str]
    database_user: Mapped[str]
    role: Mapped[str]
    allowed_databases: Mapped[list[str]] = mapped_column(Json)
    permissions: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
