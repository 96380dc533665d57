"""The tables of the audit trail."""

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


class AuditLink(Base):
    """The place of an event in its tenant's chain: inserted and read, never changed."""

    __tablename__ = "audit_links"
    __table_args__ = (
        sa.CheckConstraint("sequence > 0", name="sequence"),
        sa.CheckConstraint("length(event_hash) = 32 AND length(previous) = 32 AND length(hash) = 32", name="hashes"),
        {"sqlite_strict": True, "sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[UUID]
    event_hash: Mapped[bytes]
    previous: Mapped[bytes]
    hash: Mapped[bytes]


class AuditPending(Base):
    """An event that is stored and has no place in the chain yet; the hash is of the moment of its transaction."""

    __tablename__ = "audit_pending"
    __table_args__ = (
        sa.CheckConstraint("length(event_hash) = 32", name="event_hash"),
        {"sqlite_strict": True, "sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    event_hash: Mapped[bytes]


class AuditArchive(Base):
    """The end of what was moved out of the database into a file: from here on the chain is verified."""

    __tablename__ = "audit_archives"
    __table_args__ = (
        sa.CheckConstraint("length(hash) = 32 AND length(file_hash) = 32", name="hashes"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[bytes]
    events: Mapped[int]
    file: Mapped[str]
    file_hash: Mapped[bytes]
    checkpoint: Mapped[str] = mapped_column(repr=False)
    archived_at: Mapped[datetime]
