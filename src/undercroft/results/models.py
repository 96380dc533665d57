"""The tables of the cache of results."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base

_ENTRY = ["undercroft.query_cache.tenant_id", "undercroft.query_cache.key"]


class CachedResult(Base):
    """One result as JSON; `key` is a SHA-256 over what was asked, of which database, and with whose rights."""

    __tablename__ = "query_cache"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint("length(key) = 32", name="key"),
        sa.Index(None, "tenant_id", "last_used_at"),
        sa.Index(None, "tenant_id", "expires_at"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[bytes] = mapped_column(primary_key=True)
    database: Mapped[str]
    sql: Mapped[str] = mapped_column(repr=False)
    value: Mapped[bytes] = mapped_column(repr=False)
    size: Mapped[int]
    hits: Mapped[int] = mapped_column(default_factory=int, server_default=sa.text("0"))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class CachedResultTable(Base):
    """A table that the SQL of a result reads, by the last part of its name in lower case."""

    __tablename__ = "query_cache_tables"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id", "key"], _ENTRY, ondelete="CASCADE"),
        sa.Index(None, "tenant_id", "name"),
        {"sqlite_strict": True, "sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[bytes] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)


class ResultLease(Base):
    """That somebody loads a result now; whoever loads stores it only while the lease is still his."""

    __tablename__ = "query_cache_leases"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint("length(key) = 32", name="key"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[bytes] = mapped_column(primary_key=True)
    holder: Mapped[UUID]
    database: Mapped[str]
    expires_at: Mapped[datetime]


class CacheDay(Base):
    """What the cache did on one day, UTC; `day` is its first moment."""

    __tablename__ = "query_cache_days"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[datetime] = mapped_column(primary_key=True)
    hits: Mapped[int] = mapped_column(default_factory=int, server_default=sa.text("0"))
    misses: Mapped[int] = mapped_column(default_factory=int, server_default=sa.text("0"))
    uncacheable: Mapped[int] = mapped_column(default_factory=int, server_default=sa.text("0"))
    evicted: Mapped[int] = mapped_column(default_factory=int, server_default=sa.text("0"))
    invalidated: Mapped[int] = mapped_column(default_factory=int, server_default=sa.text("0"))
