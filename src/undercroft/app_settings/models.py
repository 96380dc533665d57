"""The tables of settings and of feature flags."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base, Json


class AppSetting(Base):
    """A setting of the tenant's: ``value`` is the text of a value of ``kind``, see `undercroft.core.values`."""

    __tablename__ = "app_settings"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint("kind IN ('bool', 'int', 'float', 'str', 'json', 'datetime')", name="kind"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    value: Mapped[str] = mapped_column(repr=False)
    description: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str | None] = mapped_column(default=None)


class FeatureFlag(Base):
    """For whom a feature is on: ``share`` is in millionths, NULL where no share is drawn; users are platform's ids."""

    __tablename__ = "feature_flags"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint("share BETWEEN 0 AND 1000000", name="share"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    enabled: Mapped[bool]
    users: Mapped[list[str]] = mapped_column(Json, repr=False)
    except_users: Mapped[list[str]] = mapped_column(Json, repr=False)
    share: Mapped[int | None] = mapped_column(default=None)
    description: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str | None] = mapped_column(default=None)
