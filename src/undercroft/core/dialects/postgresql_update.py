"""The change of one row in a statement that enters its tenant by itself: the upsert of the row upon itself.

``UPDATE … FROM ctx`` would not do: the planner may look for rows before it reads ctx, and so before the tenant is
entered. Here the lateral reference makes it read ctx first, and the lock keeps the row as it was read.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Dialect,
    Insert,
    Table,
    TypeDecorator,
    UnicodeText,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement
from typing_extensions import override

from undercroft.core.dialects.base import ReturnedRow
from undercroft.core.tenant_seal import TenantSeal
from undercroft.core.types import Uuid

_NONE_SKIPPED: ColumnElement[Any] = literal_column("0")
"""OFFSET 0 keeps a sub-select from being merged into what surrounds it."""


class Context(TypeDecorator[UUID]):
    """A tenant's id as it is entered under a seal."""

    impl = UnicodeText
    cache_ok = False

    def __init__(self, seal: TenantSeal) -> None:
        super().__init__()
        self._seal = seal

    @override
    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> str | None:
        return None if value is None else self._seal.context(value)


def under_seal(statement: Any, context: Context) -> Any:
    """Let a statement that was written with `enter` enter under the seal."""
    sealed: Any = func.undercroft.enter_sealed(bindparam("entered_tenant", type_=context))

    def replaced(part: Any) -> Any:
        is_it = isinstance(part, FunctionElement) and getattr(part, "packagenames", ()) == ("undercroft",)
        return sealed if is_it and getattr(part, "name", "") == "enter" else None

    replace: Any = replaced  # its protocol has a keyword more than it passes
    return visitors.replacement_traverse(statement, {}, replace)


def key_names(returned: ReturnedRow) -> tuple[str, ...]:
    """Return the parameters that tell which row of a tenant it is."""
    parts = [part for condition in returned.is_it for part in visitors.iterate(condition)]
    names = dict.fromkeys(part.key for part in parts if isinstance(part, BindParameter) and part.required)
    return tuple(name for name in names if name != "tenant_id")


def upserted(table: Table, columns: tuple[str, ...], returned: ReturnedRow) -> Insert:
    """Write the change of some columns of one row; it takes the parameters of the plain UPDATE and ``entered_tenant``.

    A trigger BEFORE INSERT would run, on the row as it was.
    """
    entered = func.undercroft.enter(bindparam("entered_tenant", type_=Uuid())).label("tenant")
    ctx = select(entered).offset(_NONE_SKIPPED).subquery("ctx")
    stored = [part for part in table.columns if part.computed is None]
    old = (
        select(*stored)
        .where(*returned.is_it, ctx.c.tenant.is_not(None))
        .with_for_update()
        .offset(_NONE_SKIPPED)
        .lateral("old")
    )
    itself = insert(table).from_select(
        [part.name for part in stored], select(*old.columns).select_from(ctx).join(old, literal_column("true"))
    )
    return itself.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: bindparam(f"new_{name}", type_=table.c[name].type) for name in columns},
    ).returning(*returned.columns)
