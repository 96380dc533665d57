"""The table of idempotency keys: what a repeated call was answered with the first time."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base, Json


class IdempotencyKey(Base):
    """One call that was made under a key; it commits with the work, so whoever finds it finds the work done.

    `request_hash` tells the same call from another one under the same key.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (sa.Index(None, "tenant_id", "expires_at"), {"sqlite_strict": True})

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    operation: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(repr=False)
    response: Mapped[Any] = mapped_column(Json(), default=None, nullable=True, repr=False)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
