"""Which rows a caller asks for, and in what order: plain data, read into statements that are made once a shape."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from undercroft.core.schema import any_of
from undercroft.errors import InvalidInput

if TYPE_CHECKING:
    from undercroft.repository.plan import Plan

Where = Mapping[str, Any]
OrderBy = str | Sequence[str]
Condition = tuple[str, str, bool]
"""An attribute, an operator, and whether the value is None."""
Order = tuple[tuple[str, bool], ...]
"""Attributes, each with whether it descends."""
Part = Literal["all", "offset", "after"]

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in", "not in")
SHAPES = 1024


class Selection:
    """The SELECT statements of one model: of its columns, or of its instances."""

    def __init__(self, plan: "Plan[Any]") -> None:
        self._plan = plan
        self.one = sa.select(*plan.attributes.values()).where(*self.is_key())
        self.rows = lru_cache(SHAPES)(self._rows)
        self.count = lru_cache(SHAPES)(self._count)
        self.any = lru_cache(SHAPES)(self._any)

    def is_key(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions that a row is the tenant's and has the key of `Plan.key_values`."""
        key = [self._plan.attributes[name] == self._bind(f"key_{name}", name) for name in self._plan.key]
        return [*self._is_own(), *key]

    def conditions(self, where: Where | None) -> tuple[tuple[Condition, ...], dict[str, Any]]:
        """Read conditions into their shape and their values; raises InvalidInput for an unknown name or operator."""
        shape: list[Condition] = []
        values: dict[str, Any] = {}
        for text, value in (where or {}).items():
            name, _, operator = text.strip().partition(" ")
            operator = " ".join(operator.split()).lower() or "="
            self._plan.check([name])
            if operator not in OPERATORS:
                raise InvalidInput(
                    f"There is no operator {operator}", field="where", hint=f"it is {', '.join(OPERATORS)}"
                )
            listed = operator.endswith("in")
            if (value is None and operator not in {"=", "!="}) or (
                listed and not isinstance(value, list | tuple | set | frozenset)
            ):
                raise InvalidInput(f"{text} needs {'a list' if listed else 'a value'}", field="where")
            for part in value if listed else [value]:
                self._plan.check_types({name: part})
            shape.append((name, operator, value is None))
            values[f"where_{len(shape) - 1}"] = list(value) if listed else value
        return tuple(shape), values

    def order(self, order_by: OrderBy | None) -> Order:
        """Read an order, made total by the key; raises InvalidInput for an unknown name."""
        named = [order_by] if isinstance(order_by, str) else list(order_by or ())
        order = [(name.removeprefix("-"), name.startswith("-")) for name in named]
        self._plan.check([name for name, _ in order])
        descends = order[-1][1] if order else False
        rest = [name for name in self._plan.key if name not in dict(order)]
        return (*order, *((name, descends) for name in rest))

    def check_pageable(self, order: Order) -> None:
        """Raise InvalidInput for an order whose pages would skip rows: none comes after NULL."""
        for name, _ in order:
            if self._plan.attributes[name].nullable:
                raise InvalidInput(
                    f"{name} may be NULL, and no page continues after that",
                    field="order_by",
                    hint="use list with offset",
                )

    def _count(self, shape: tuple[Condition, ...]) -> sa.Select[Any]:
        return sa.select(sa.func.count()).select_from(self._plan.table).where(*self._all(shape))

    def _any(self, shape: tuple[Condition, ...]) -> sa.Select[Any]:
        found: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(self._plan.table)
        return found.where(*self._all(shape)).limit(sa.literal_column("1"))

    def _rows(self, shape: tuple[Condition, ...], order: Order, part: Part) -> sa.Select[Any]:
        base = sa.select(*self._plan.attributes.values())
        columns = [self._plan.attributes[name] for name, _ in order]
        by = [column.desc() if descends else column for column, (_, descends) in zip(columns, order, strict=True)]
        statement = base.where(*self._all(shape)).order_by(*by).limit(sa.bindparam("limit", type_=sa.Integer()))
        if part == "offset":
            return statement.offset(sa.bindparam("offset", type_=sa.Integer()))
        return statement.where(self._comes_after(order)) if part == "after" else statement

    def _is_own(self) -> list[sa.ColumnElement[bool]]:
        return [self._plan.table.c.tenant_id == sa.bindparam("tenant_id")] if self._plan.has_tenant else []

    def _all(self, shape: tuple[Condition, ...]) -> list[sa.ColumnElement[bool]]:
        return self._is_own() + [self._condition(f"where_{place}", *condition) for place, condition in enumerate(shape)]

    def _condition(self, parameter: str, name: str, operator: str, is_none: bool) -> sa.ColumnElement[bool]:  # noqa: FBT001
        column = self._plan.attributes[name]
        if is_none:
            return column.is_(None) if operator == "=" else column.is_not(None)
        if operator in {"in", "not in"}:
            listed = any_of(column, parameter)
            if operator == "in":
                return listed
            return sa.or_(column.is_(None), sa.not_(listed)) if column.nullable else sa.not_(listed)
        value = self._bind(parameter, name)
        if operator == "!=":
            return column.is_distinct_from(value) if column.nullable else column != value
        return column.op(operator, is_comparison=True)(value)

    def _comes_after(self, order: Order) -> sa.ColumnElement[bool]:
        pairs = [
            (self._plan.attributes[name], self._bind(f"after_{place}", name)) for place, (name, _) in enumerate(order)
        ]
        if len({descends for _, descends in order}) == 1:  # one comparison, which an index answers
            these, last = sa.tuple_(*(column for column, _ in pairs)), sa.tuple_(*(value for _, value in pairs))
            if len(pairs) == 1:
                these, last = pairs[0]  # type: ignore[assignment]  # a column and its value
            return these < last if order[0][1] else these > last
        return sa.or_(
            *(
                sa.and_(
                    *(column == value for column, value in pairs[:place]),
                    pairs[place][0] < pairs[place][1] if descends else pairs[place][0] > pairs[place][1],
                )
                for place, (_, descends) in enumerate(order)
            )
        )

    def _bind(self, parameter: str, name: str) -> sa.BindParameter[Any]:
        return sa.bindparam(parameter, type_=self._plan.attributes[name].type)
