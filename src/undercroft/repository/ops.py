"""What a repository does, given a model's plan: rows as frozen copies, at the driver's speed."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Literal

from undercroft.core.operation import Page
from undercroft.core.pages import check_limit
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, NotFound
from undercroft.repository.plan import TENANT, Plan
from undercroft.repository.selection import Order, OrderBy, Where

AnyPlan = Plan[Any]


def create(tx: Tx, plan: AnyPlan, /, **values: Any) -> Any:
    """Store a new row and return all of it; defaults, the tenant and a UUID for a key that is left out are filled in.

    Raises:
        InvalidInput: there is no such column, or a value is missing.
        UniqueViolation: there is such a row already.
        TenantMismatch: it names another tenant.
    """
    row = plan.completed(tx, values)
    tx.dialect.check_right(plan.table, "insert")
    return plan.make(tx.rows(plan.insert(tuple(row)), row)[0])


def create_many(
    tx: Tx, plan: AnyPlan, rows: Iterable[Mapping[str, Any]], *, conflict: Literal["error", "ignore"] = "error"
) -> int:
    """Store many rows, all or none, and return how many were added.

    With ``conflict="ignore"`` a row whose primary key is there already is left as it stands. Raises as `create` does.
    """
    complete = sorted((plan.completed(tx, row) for row in rows), key=sorted)
    tx.dialect.check_right(plan.table, "insert")
    added = 0
    for _, alike in groupby(complete, key=sorted):  # those that leave out the same columns go together
        named = [{plan.attributes[name].name: value for name, value in row.items()} for row in alike]
        added += tx.insert_many(plan.table, named, conflict=conflict)
    return added


def get(tx: Tx, plan: AnyPlan, key: Any) -> Any:
    """Look up a row by its primary key, a tuple where it has several parts (the tenant is none of them).

    Raises:
        NotFound: there is none.
    """
    return _found(plan, key, get_or_none(tx, plan, key))


def get_or_none(tx: Tx, plan: AnyPlan, key: Any) -> Any:
    """Look up a row by its primary key; None where there is none."""
    row = tx.row(plan.selection.one, plan.key_values(tx, key))
    return None if row is None else plan.make(row)


def update(tx: Tx, plan: AnyPlan, key: Any, /, **changes: Any) -> Any:
    """Change a row and return all of it.

    Raises:
        InvalidInput: there is no such column, or it is part of the key.
        NotFound: there is no such row.
    """
    if not changes:
        return get(tx, plan, key)
    new = plan.changed(changes)
    found = plan.key_values(tx, key)
    tx.dialect.check_right(plan.table, "update")
    columns = tuple(plan.attributes[name].name for name in new)
    statement = tx.dialect.update_by_key(plan.table, columns, plan.returned)
    values = {f"new_{column}": value for column, value in zip(columns, new.values(), strict=True)}
    row = tx.row(statement, {**values, **found})
    return _found(plan, key, None if row is None else plan.make(row))


def delete(tx: Tx, plan: AnyPlan, key: Any) -> bool:
    """Delete a row, and tell whether there was one."""
    found = plan.key_values(tx, key)
    tx.dialect.check_right(plan.table, "delete")
    return tx.run(plan.delete, found) > 0


def list_(
    tx: Tx,
    plan: AnyPlan,
    where: Where | None = None,
    *,
    order_by: OrderBy | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Any]:
    """Return the rows that ``where`` describes, 1 to 1,000 of them, by default in the order of their keys.

    Raises:
        InvalidInput: there is no such column or operator.
    """
    shape, values = _asked(tx, plan, where)
    values |= {"limit": check_limit(limit), "offset": _check_offset(offset)}
    statement = plan.selection.rows(shape, plan.selection.order(order_by), "offset" if offset else "all")
    return [*map(plan.make, tx.rows(statement, values))]


def page(
    tx: Tx,
    plan: AnyPlan,
    where: Where | None = None,
    *,
    order_by: OrderBy | None = None,
    limit: int = 50,
    after: tuple[Any, ...] | None = None,
) -> Page[Any]:
    """Return a page of rows, and in ``after`` what to pass for the next one: it costs the same however far it is.

    Raises:
        InvalidInput: there is no such column or operator, or the order is by a column that may be NULL.
    """
    order = plan.selection.order(order_by)
    shape, values = _asked(tx, plan, where)
    values |= {"limit": check_limit(limit) + 1, **_after(plan, order, after)}
    found = tx.rows(plan.selection.rows(shape, order, "all" if after is None else "after"), values)
    return _paged([*map(plan.make, found)], order, limit)


def each(
    tx: Tx, after: tuple[Any, ...] | None, plan: AnyPlan, where: Where | None = None, *, batch: int = 500
) -> Page[Any]:
    """Iterate over all the rows that ``where`` describes, in the order of their keys, ``batch`` of them at a time."""
    return page(tx, plan, where, limit=batch, after=after)


def count(tx: Tx, plan: AnyPlan, where: Where | None = None) -> int:
    """Count the rows that ``where`` describes."""
    shape, values = _asked(tx, plan, where)
    return int(tx.value(plan.selection.count(shape), values))


def exists(tx: Tx, plan: AnyPlan, where: Where | None = None) -> bool:
    """Tell whether there is a row that ``where`` describes."""
    shape, values = _asked(tx, plan, where)
    return tx.row(plan.selection.any(shape), values) is not None


def _after(plan: AnyPlan, order: Order, after: Any) -> dict[str, Any]:
    """Return the parameters that continue after a row; raises InvalidInput for what is not of this order."""
    plan.selection.check_pageable(order)
    if after is None:
        return {}
    if not isinstance(after, tuple | list) or len(after) != len(order):
        raise InvalidInput("That is not where a page of this order ended", field="after", hint="pass page.after on")
    return {f"after_{place}": value for place, value in enumerate(after)}


def _check_offset(offset: int) -> int:
    """Return how many rows to pass over; raises InvalidInput for less than none."""
    if offset < 0:
        raise InvalidInput("An offset is not negative", field="offset")
    return offset


def _paged(items: list[Any], order: Order, limit: int) -> Page[Any]:
    """Make a page of one item more than it may have, which says whether another one follows."""
    if len(items) <= limit:
        return Page(items)
    return Page(items[:limit], tuple(getattr(items[limit - 1], name) for name, _ in order))


def _asked(tx: Tx, plan: AnyPlan, where: Where | None) -> tuple[Any, dict[str, Any]]:
    shape, values = plan.selection.conditions(where)
    if plan.has_tenant:
        values[TENANT] = tx.tenant_id
    return shape, values


def _found(plan: AnyPlan, key: Any, row: Any) -> Any:
    if row is None:
        raise NotFound(f"There is no such {plan.model.__name__}", key=str(key))
    return row
