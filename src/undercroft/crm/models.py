"""The tables of connections to CRMs, and of whose account an e-mail domain is."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base

_DEFAULT = sa.text("is_default")


class CRMConnection(Base):
    """A way into a CRM; at most one is a tenant's default. One that is disconnected stays, for what was done by it."""

    __tablename__ = "crm_connections"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.UniqueConstraint("tenant_id", "provider", "name"),
        sa.Index(
            "uq_crm_connections_default", "tenant_id", unique=True, postgresql_where=_DEFAULT, sqlite_where=_DEFAULT
        ),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    provider: Mapped[str]
    name: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"))
    credentials: Mapped[str] = mapped_column(repr=False)
    is_default: Mapped[bool]
    settings: Mapped[dict[str, Any]] = mapped_column(default_factory=dict, server_default=sa.text("'{}'"), repr=False)
    connected_by: Mapped[str | None] = mapped_column(default=None)
    connected_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    disconnected_at: Mapped[datetime | None] = mapped_column(default=None)


class AccountMapping(Base):
    """Whose account in a CRM an e-mail domain, or a whole address, belongs to."""

    __tablename__ = "account_mappings"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["undercroft.crm_connections.tenant_id", "undercroft.crm_connections.id"],
            ondelete="CASCADE",
        ),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    email_domain: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    account_name: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"))
    verified: Mapped[bool]
    mapped_by: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
