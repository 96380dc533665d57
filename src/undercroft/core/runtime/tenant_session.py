"""The ORM session of one tenant: it fills in whose a new row is, and refuses another tenant's.

What a session reads and changes of our tables is walled by the database, on SQLite by `sqlite_walls`. A user's own
models with a `tenant_id` have no policies on PostgreSQL unless his migration made them: their queries get a condition.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Insert, event, false, inspect
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, with_loader_criteria

from undercroft.core.dialects.base import Dialect
from undercroft.core.schema import SCHEMA, Base
from undercroft.errors import TenantMismatch, TenantNotSet

FOREIGN = "The row belongs to another tenant"
HINT = "leave tenant_id out, or give it this tenant's id"


class TenantSession(Session):
    """A session in a transaction of ours; it joins with a savepoint, and commits no more than that."""

    def __init__(self, tenant_id: UUID | None, connection: Connection, dialect: Dialect) -> None:
        super().__init__(connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
        self._tenant_id = tenant_id
        self.translate = dialect.translate

    @property
    def is_nobodys(self) -> bool:
        """Whether no tenant is entered."""
        return self._tenant_id is None

    @property
    def tenant_id(self) -> UUID:
        """The tenant that the session is of; raises TenantNotSet where it is nobody's."""
        if self._tenant_id is None:
            raise TenantNotSet
        return self._tenant_id


@event.listens_for(TenantSession, "before_flush")
def _own_what_is_written(session: TenantSession, *_: object) -> None:
    for row in session.new:
        key = tenant_key(type(row))
        if key is not None and getattr(row, key, None) is None:
            setattr(row, key, session.tenant_id)
    for row in (*session.new, *session.dirty, *session.deleted):
        key = tenant_key(type(row))
        if key is None:
            continue
        history = inspect(row).attrs[key].history
        if any(tenant != session.tenant_id for part in history if part for tenant in part):
            raise TenantMismatch(FOREIGN, hint=HINT)


@event.listens_for(TenantSession, "do_orm_execute")
def _confine(state: ORMExecuteState) -> None:
    session = state.session
    assert isinstance(session, TenantSession)  # noqa: S101 - the event is listened for on this class
    if state.is_insert:
        _check_inserted(state, session)
    elif (state.is_select and not state.is_column_load) or state.is_update or state.is_delete:
        for model, key in _of_users():
            own = false() if session.is_nobodys else getattr(model, key) == session.tenant_id
            state.statement = state.statement.options(with_loader_criteria(model, own, include_aliases=True))


def _check_inserted(state: ORMExecuteState, session: TenantSession) -> None:
    mapper = state.bind_mapper
    key = None if mapper is None else tenant_key(mapper.class_)
    statement = state.statement
    if mapper is None or key is None or _is_walled(mapper) or not isinstance(statement, Insert):
        return
    given: Any = state.parameters or {}
    rows: list[Mapping[Any, Any]] = [given] if isinstance(given, Mapping) else [*given]
    inline: Any = statement
    # Nothing public tells what values() was given.
    rows += [inline._values or {}, *(row for part in inline._multi_values for row in part)]  # noqa: SLF001
    values = [value for row in rows for name, value in row.items() if getattr(name, "key", name) in {key, "tenant_id"}]
    if statement.select is not None or any(getattr(value, "value", value) != session.tenant_id for value in values):
        raise TenantMismatch(FOREIGN, hint=HINT)


def tenant_key(model: type) -> str | None:
    """Return the name of the attribute that says whose a row is, None for a model that belongs to no tenant."""
    if model not in _TENANT_KEYS:
        mapper: Mapper[Any] | None = inspect(model) if issubclass(model, Base) else None
        column = None if mapper is None else mapper.local_table.c.get("tenant_id")
        _TENANT_KEYS[model] = None if mapper is None or column is None else mapper.get_property_by_column(column).key
    return _TENANT_KEYS[model]


_TENANT_KEYS: dict[type, str | None] = {}


def _of_users() -> Iterator[tuple[type, str]]:
    """Yield the models of users that have a tenant: no wall of ours may stand around their tables."""
    for mapper in Base.registry.mappers:
        key = tenant_key(mapper.class_)
        if key is not None and not _is_walled(mapper):
            yield mapper.class_, key


def _is_walled(mapper: Mapper[Any]) -> bool:
    return getattr(mapper.local_table, "schema", None) == SCHEMA
