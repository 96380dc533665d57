"""What a repository does with instances of a model: through an ORM session, which is closed when they are returned."""

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from undercroft.core.operation import Page
from undercroft.core.pages import check_limit
from undercroft.core.runtime.base import Ports
from undercroft.core.runtime.tenant_session import TenantSession
from undercroft.errors import InvalidInput, NotFound
from undercroft.repository.ops import AnyPlan, check_after, check_offset, paged
from undercroft.repository.plan import TENANT
from undercroft.repository.selection import OrderBy, Where

T = TypeVar("T")


def create(ports: Ports, plan: AnyPlan, /, **values: Any) -> Any:
    """Store a new instance and return it; raises as it does without ``as_orm``."""

    def work(session: TenantSession) -> Any:
        made = plan.instance(plan.completed(session, values))
        session.add(made)
        return _whole(session, made)

    return _in_session(ports, work)


def get(ports: Ports, plan: AnyPlan, key: Any) -> Any:
    """Look up an instance by its primary key; raises NotFound where there is none."""
    return _in_session(ports, lambda session: _found(session, plan, key))


def get_or_none(ports: Ports, plan: AnyPlan, key: Any) -> Any:
    """Look up an instance by its primary key; None where there is none."""
    return _in_session(ports, lambda session: _one(session, plan, key))


def update(ports: Ports, plan: AnyPlan, key: Any, /, **changes: Any) -> Any:
    """Change an instance and return it; raises as it does without ``as_orm``."""

    def work(session: TenantSession) -> Any:
        found = _found(session, plan, key)
        for name, value in plan.changed(changes).items():
            setattr(found, name, value)
        return _whole(session, found)

    return _in_session(ports, work)


def list_(
    ports: Ports,
    plan: AnyPlan,
    where: Where | None = None,
    *,
    order_by: OrderBy | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Any]:
    """Return the instances that ``where`` describes; raises as it does without ``as_orm``."""
    shape, values = plan.selection.conditions(where)
    values |= {"limit": check_limit(limit), "offset": check_offset(offset)}
    statement = plan.selection.objects(shape, plan.selection.order(order_by), "offset" if offset else "all")
    return _in_session(ports, lambda session: _all(session, plan, statement, values))


def page(
    ports: Ports,
    plan: AnyPlan,
    where: Where | None = None,
    *,
    order_by: OrderBy | None = None,
    limit: int = 50,
    after: tuple[Any, ...] | None = None,
) -> Page[Any]:
    """Return a page of instances, and in ``after`` what to pass for the next one; raises as without ``as_orm``."""
    order = plan.selection.order(order_by)
    shape, values = plan.selection.conditions(where)
    values |= {"limit": check_limit(limit) + 1, **check_after(plan, order, after)}
    statement = plan.selection.objects(shape, order, "all" if after is None else "after")
    return paged(_in_session(ports, lambda session: _all(session, plan, statement, values)), order, limit)


def query(ports: Ports, plan: AnyPlan, statement: sa.Select[Any]) -> list[Any]:
    """Return the instances that a SELECT of the model finds, as the tenant sees them: ``select(Model).where(…)``.

    Raises:
        InvalidInput: it selects something else than the model.
    """
    described = [part["entity"] for part in statement.column_descriptions]
    if described != [plan.model] or statement.column_descriptions[0]["expr"] is not plan.model:
        raise InvalidInput(
            f"The query does not select {plan.model.__name__} itself",
            field="statement",
            hint="use session() for others",
        )
    return _in_session(ports, lambda session: list(session.scalars(statement).unique()))


def query_rows(ports: Ports, plan: AnyPlan, statement: sa.Select[Any]) -> list[Any]:
    """Return the rows that a SELECT of the model finds, as the tenant sees them: ``select(Model).where(…)``.

    Raises:
        InvalidInput: it selects something else than the model.
    """
    names = tuple(plan.attributes)
    return [plan.make([getattr(found, name) for name in names]) for found in query(ports, plan, statement)]


def _in_session(ports: Ports, work: Callable[[TenantSession], T]) -> T:
    def run(session: Session) -> T:
        assert isinstance(session, TenantSession)  # noqa: S101 - every session of ours is one
        try:
            result = work(session)
            session.flush()
        except SQLAlchemyError as error:
            meaning = session.translate(error)
            if meaning is None:
                raise
            raise meaning from error
        return result

    result: T = ports.session(run)
    return result


def _one(session: TenantSession, plan: AnyPlan, key: Any) -> Any:
    values = plan.key_values(session, key)
    identity = tuple(values[f"key_{name}" if name in plan.key else TENANT] for name in plan.identity)
    return session.get(plan.model, identity)


def _found(session: TenantSession, plan: AnyPlan, key: Any) -> Any:
    found = _one(session, plan, key)
    if found is None:
        raise NotFound(f"There is no such {plan.model.__name__}", key=str(key))
    return found


def _all(session: TenantSession, plan: AnyPlan, statement: sa.Select[Any], values: dict[str, Any]) -> list[Any]:
    if plan.has_tenant:
        values[TENANT] = session.tenant_id
    return list(session.scalars(statement, values).unique())


def _whole(session: TenantSession, row: Any) -> Any:
    """Store an instance, and read what the database filled in while there is a session to do so."""
    session.flush()
    if sa.inspect(row).expired_attributes:
        session.refresh(row)
    return row
