"""Sealing values anew, over all tenants, while others read and write them.

Each value is replaced by itself and only if nobody has replaced it meanwhile, so no lock is held and a writer always
wins. Whoever is killed has lost nothing: what is done is told from what is not by the key's id in the values.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, bindparam, delete, func, literal_column, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from undercroft.core.clock import utc_now
from undercroft.core.seal.columns import SealedColumn, every_sealed_column
from undercroft.core.seal.envelope import Key, seal
from undercroft.core.seal.keyring import Keyring
from undercroft.errors import UndercroftError
from undercroft.keys.models import ResealCursor as Cursor
from undercroft.keys.records import BrokenValue

BATCH = 200
PASSES = 10
"""How often values are looked for that others go on to seal under old keys."""
SHOWN = 20
"""How many of the broken values are named."""


def counts(connection: Connection) -> dict[bytes, int]:
    """Count all sealed values by the id of their key."""
    found: dict[bytes, int] = {}
    for column in every_sealed_column():
        under = _key_id(column)
        counted = select(under, func.count()).where(column.column.is_not(None)).group_by(under)
        for key_id, number in connection.execute(counted):
            found[bytes(key_id)] = found.get(bytes(key_id), 0) + number
    return found


class Resealing:
    """One run over everything that is not under a key yet."""

    def __init__(self, connection: Connection, keys: Keyring, key: Key) -> None:
        self._connection = connection
        self._keys = keys
        self._key = key
        self.values = 0
        self.broken: list[BrokenValue] = []

    def run(self) -> dict[bytes, int]:
        """Seal everything anew and return what is left under other keys, as counted at the end.

        What another process sealed under an old key meanwhile is found by that count, and done as well.
        """
        for column in every_sealed_column():
            self._column(column, self._reached(column))
        left = self._left()
        for _ in range(PASSES):
            before = self.values
            if not any(self._keys.ring.get(key_id) for key_id in left):
                break
            self.broken.clear()
            for column in every_sealed_column():
                self._column(column, None)
            left = self._left()
            if self.values == before:  # none of them can be opened
                break
        return left

    def _left(self) -> dict[bytes, int]:
        return {key_id: number for key_id, number in counts(self._connection).items() if key_id != self._key.id}

    def _column(self, column: SealedColumn, tenant: Any) -> None:
        for rows in self._batches(column, tenant):
            for row in rows:
                self._value(column, row)
            self._note(column, rows[-1].tenant_id)
        self._connection.execute(delete(Cursor).where(*_this(column)))

    def _batches(self, column: SealedColumn, tenant: Any) -> Iterator[Sequence[Any]]:
        order = [column.table.c.tenant_id, *(one for one in column.table.primary_key if one.name != "tenant_id")]
        wanted = dict.fromkeys([*order, *column.key, *([] if column.version is None else [column.version])])
        todo = (
            select(*wanted, column.column)
            .where(column.column.is_not(None), _key_id(column) != bindparam("key", self._key.id))
            .order_by(*order)
            .limit(BATCH)
        )
        batch = todo if tenant is None else todo.where(column.table.c.tenant_id >= tenant)
        while rows := self._connection.execute(batch).all():
            yield rows
            last = tuple_(*(bindparam(None, getattr(rows[-1], one.name), one.type) for one in order))
            batch = todo.where(tuple_(*order) > last)

    def _value(self, column: SealedColumn, row: Any) -> None:
        key = [getattr(row, one.name) for one in column.key]
        version = 0 if column.version is None else getattr(row, column.version.name)
        sealed = bytes(getattr(row, column.column.name))
        place = column.place(row.tenant_id, key, version)
        try:
            anew = seal(self._key, place, self._keys.open(place, sealed))
        except UndercroftError as error:
            if len(self.broken) < SHOWN:
                self.broken.append(BrokenValue(column.table.name, row.tenant_id, tuple(map(str, key)), error.code))
            return
        same = [one == getattr(row, one.name) for one in column.table.primary_key]
        replaced = update(column.table).where(*same, column.column == sealed).values({column.column.name: anew})
        self.values += self._connection.execute(replaced).rowcount

    def _reached(self, column: SealedColumn) -> Any:
        """Return the tenant that a run before this one, to the same key, had reached."""
        found = select(func.max(Cursor.updated_at)).where(*_this(column), Cursor.key_id == self._key.id)
        return self._connection.scalar(
            select(Cursor.tenant_id).where(*_this(column), Cursor.updated_at == found.scalar_subquery()).limit(1)
        )

    def _note(self, column: SealedColumn, tenant: Any) -> None:
        row = {
            "tenant_id": tenant,
            "table_name": column.table.name,
            "column_name": column.column.name,
            "key_id": self._key.id,
            "updated_at": utc_now(),
        }
        added = insert(Cursor).values(row)
        told = {name: row[name] for name in ("key_id", "updated_at")}
        self._connection.execute(
            added.on_conflict_do_update(
                index_elements=[Cursor.tenant_id, Cursor.table_name, Cursor.column_name], set_=told
            )
        )


def _key_id(column: SealedColumn) -> Column[Any]:
    """The key's id in a sealed value's header."""
    return func.substr(column.column, literal_column("4"), literal_column("8"), type_=column.column.type)  # type: ignore[return-value]  # reads as a column


def _this(column: SealedColumn) -> tuple[Any, ...]:
    return Cursor.table_name == column.table.name, Cursor.column_name == column.column.name
