"""The table of change versions: how often something that processes remember has been changed."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft.core.schema import Base


class ChangeVersion(Base):
    """One topic of a tenant, or of the fleet under a tenant_id of zero; its row is held until the change commits.

    So versions are committed in their order. `changed_in` is PostgreSQL's number of the transaction, 0 on SQLite.
    """

    __tablename__ = "change_versions"
    __table_args__ = {"sqlite_strict": True}  # noqa: RUF012 - SQLAlchemy reads it off the class

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    changed_in: Mapped[int] = mapped_column(server_default=sa.text("0"), default=0)
