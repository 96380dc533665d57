"""The table of secrets."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base
from undercroft.core.seal.columns import SealedColumn


class Secret(Base):
    """A token, a password or a key of the tenant's, sealed; ``id`` tells it from one of the same name before it."""

    __tablename__ = "secrets"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    version: Mapped[int]
    value: Mapped[bytes] = mapped_column(repr=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str | None] = mapped_column(default=None)


VALUE = SealedColumn(Base.metadata.tables["undercroft.secrets"], "value", key=("name", "id"), version="version")
