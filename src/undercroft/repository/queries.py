"""A caller's own query of a model, which only the ORM can run: it may hold whatever SQLAlchemy knows."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from undercroft.core.runtime.base import Ports
from undercroft.core.runtime.tenant_session import TenantSession
from undercroft.errors import InvalidInput
from undercroft.repository.ops import AnyPlan


def query(ports: Ports, plan: AnyPlan, statement: sa.Select[Any]) -> list[Any]:
    """Return what a SELECT of the model finds, as the tenant sees it: ``select(Model).where(…)``.

    Raises:
        InvalidInput: it selects something else than the model.
    """
    described = statement.column_descriptions
    if len(described) != 1 or described[0]["expr"] is not plan.model:
        raise InvalidInput(
            f"The query does not select {plan.model.__name__} itself",
            field="statement",
            hint="use session() for others",
        )

    def work(session: Session) -> list[Any]:
        assert isinstance(session, TenantSession)  # noqa: S101 - every session of ours is one
        try:
            return list(session.scalars(statement).unique())
        except SQLAlchemyError as error:
            meaning = session.translate(error)
            if meaning is None:
                raise
            raise meaning from error

    found: list[Any] = ports.session(work)
    return found if plan.as_orm else [plan.make([getattr(row, name) for name in plan.attributes]) for row in found]
