"""How the rows of a table age, and the statements that count and remove those that are old enough."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Delete,
    ScalarSelect,
    Update,
    and_,
    bindparam,
    delete,
    func,
    null,
    or_,
    select,
    tuple_,
    update,
)

from undercroft.core import ids
from undercroft.core.clock import micros
from undercroft.core.tx import Tx
from undercroft.core.types import BigInt, UtcDateTime, Uuid


class Aging(Protocol):
    """Rows of one table."""

    def count(self, name: str) -> ScalarSelect[int]:
        """Return how many are old enough, as a part of a statement; ``name`` is the parameter of `bound`."""

    def bound(self, before: datetime) -> Any:
        """Return what stands for a moment in the statements."""

    def remove(self, tx: Tx, before: datetime, batch: int) -> tuple[int, bool]:
        """Remove about so many of the oldest; returns how many, and whether there may be more."""


class ById(Aging):
    """Rows whose ids are in the order of time, with what carries those ids; removed from the first id upwards.

    So each batch is a range of the primary key, and touches one partition, two at most.
    """

    def __init__(
        self,
        model: Any,
        *only: ColumnElement[bool],
        parts: Sequence[Any] = (),
        searchable: bool = False,
    ) -> None:
        self._model = model
        self._only = only
        self._searchable = searchable
        old = self._old("before")
        last = select(model.id).where(old).order_by(model.id).limit(1)
        self._next = last.offset(bindparam("batch"))  # the first that this batch leaves
        self._parts = [
            delete(part).where(
                part.tenant_id == bindparam("tenant_id"), part.message_id < bindparam("before", type_=Uuid)
            )
            for part in parts
        ]
        self._remove = delete(model).where(old)

    def _old(self, name: str) -> ColumnElement[bool]:
        model = self._model
        mine = model.tenant_id == bindparam("tenant_id")
        return and_(mine, model.id < bindparam(name, type_=Uuid), *self._only)

    def count(self, name: str) -> ScalarSelect[int]:
        """Count by the primary key."""
        return select(func.count()).select_from(self._model).where(self._old(name)).scalar_subquery()

    def bound(self, before: datetime) -> Any:
        """Return the lowest id of the moment."""
        return ids.floor(before)

    def remove(self, tx: Tx, before: datetime, batch: int) -> tuple[int, bool]:
        """Remove what belongs to the rows first: a batch is one transaction, and nobody sees a half of it."""
        found = tx.value(self._next, {"before": self.bound(before), "batch": batch})
        bound = {"before": self.bound(before) if found is None else found}
        for part in self._parts:
            tx.run(part, bound)
        if self._searchable:
            tx.dialect.unindex(tx, bound["before"])
        return tx.run(self._remove, bound), found is not None


class ByMoment(Aging):
    """Rows that say themselves when they came to their end; removed in the order of that.

    A row that somebody holds at the moment is left for the next run, so nobody waits for whom he keeps waiting.
    """

    _type: Any = UtcDateTime

    def __init__(self, model: Any, old: Callable[[Any], ColumnElement[bool]], *, order: Any) -> None:
        self._model = model
        self._condition = old
        key = [column for column in model.__table__.primary_key if column.name != "tenant_id"]
        these = tuple_(*key) if len(key) > 1 else key[0]
        doomed = (
            select(*key)
            .where(self._old("before"))
            .order_by(order, *key)
            .limit(bindparam("batch"))
            .with_for_update(skip_locked=True)
            .cte("doomed", nesting=True)  # a statement must begin with its verb: sqlite3 counts no rows else
            .prefix_with("MATERIALIZED", dialect="postgresql")  # asked twice, it skips what it has locked itself
        )
        self._remove = self._verb(model).where(self._old("before"), these.in_(select(*doomed.c)))

    def _verb(self, model: Any) -> Delete | Update:
        return delete(model)

    def _old(self, name: str) -> ColumnElement[bool]:
        moment = bindparam(name, type_=self._type)
        return and_(self._model.tenant_id == bindparam("tenant_id"), self._condition(moment))

    def count(self, name: str) -> ScalarSelect[int]:
        """Count by the moment."""
        return select(func.count()).select_from(self._model).where(self._old(name)).scalar_subquery()

    def bound(self, before: datetime) -> Any:
        """Return the moment itself."""
        return before

    def remove(self, tx: Tx, before: datetime, batch: int) -> tuple[int, bool]:
        """Remove in one statement."""
        removed = tx.run(self._remove, {"before": self.bound(before), "batch": batch})
        return removed, removed >= batch


class ByMillisecond(ByMoment):
    """The same for rows that count milliseconds since 1970."""

    _type = BigInt

    def bound(self, before: datetime) -> int:
        """Return the moment's milliseconds."""
        return micros(before) // 1000


class Emptied(ByMoment):
    """Rows that stay, with nothing left in those columns: what they stand for must not be done again."""

    def __init__(
        self, model: Any, old: Callable[[Any], ColumnElement[bool]], *, order: Any, columns: Sequence[Any]
    ) -> None:
        self._columns = columns
        filled = or_(*(column.is_not(None) for column in columns))
        super().__init__(model, lambda moment: and_(old(moment), filled), order=order)

    def _verb(self, model: Any) -> Update:
        return update(model).values(dict.fromkeys(self._columns, null()))
