"""The tables of configurations."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base
from undercroft.core.seal.columns import SealedColumn


class Configuration(Base):
    """What a key is set to: ``value`` is its JSON, or ``sealed`` holds that; one that was deleted has neither.

    The row of a deleted one stays, so that its next version follows on the last.
    """

    __tablename__ = "configurations"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint("value IS NULL OR sealed IS NULL", name="value"),
        sa.Index(None, "tenant_id", "category", "key"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    category: Mapped[str]
    description: Mapped[str]
    is_sensitive: Mapped[bool]
    value: Mapped[str | None] = mapped_column(default=None, repr=False)
    sealed: Mapped[bytes | None] = mapped_column(default=None, repr=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str | None] = mapped_column(default=None)


class ConfigAudit(Base):
    """A version of a configuration; added and never changed. ``position`` counts the changes of the tenant."""

    __tablename__ = "config_audit"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint("version > 0", name="version"),
        sa.Index(None, "tenant_id", "position", "key"),
        sa.CheckConstraint("change IN ('set', 'delete', 'rollback')", name="change"),
        sa.CheckConstraint("value IS NULL OR sealed IS NULL", name="value"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]
    change: Mapped[str]
    rolled_back_to: Mapped[int | None] = mapped_column(default=None)
    category: Mapped[str]
    description: Mapped[str]
    is_sensitive: Mapped[bool]
    value: Mapped[str | None] = mapped_column(default=None, repr=False)
    sealed: Mapped[bytes | None] = mapped_column(default=None, repr=False)
    changed_at: Mapped[datetime]
    changed_by: Mapped[str | None] = mapped_column(default=None)


VALUE = SealedColumn(Base.metadata.tables["undercroft.configurations"], "sealed", key=("key",), version="version")
PAST_VALUE = SealedColumn(Base.metadata.tables["undercroft.config_audit"], "sealed", key=("key",), version="version")
