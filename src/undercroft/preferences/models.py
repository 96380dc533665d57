"""The table of preferences."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base


class UserPreference(Base):
    """What a user wants otherwise: ``value`` is the text of a value of ``kind``, see `undercroft.core.values`."""

    __tablename__ = "user_preferences"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.CheckConstraint("kind IN ('bool', 'int', 'float', 'str', 'json', 'datetime')", name="kind"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_native_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    value: Mapped[str] = mapped_column(repr=False)
    updated_at: Mapped[datetime]
