"""The columns that hold sealed values, and the place that each value is sealed to."""

from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Column, Table

from undercroft.core.clock import micros
from undercroft.core.seal.envelope import Hidden, hidden, packed
from undercroft.errors import InvalidInput

if TYPE_CHECKING:
    from undercroft.core.tx import Tx

_SEALED: Final[dict[tuple[str, str], "SealedColumn"]] = {}


def every_sealed_column() -> list["SealedColumn"]:
    """Return every column of sealed values, whichever slices were used so far: all are sealed anew with a new key."""
    import_module("undercroft.models")
    return list(_SEALED.values())


class SealedColumn:
    """A column of bytes whose values are sealed, declared once beside its table.

    ``key`` names the columns that tell the row, by default its primary key without the tenant; ``version`` the column
    that counts the row's changes, so that an old value does not open in the place of a new one.
    """

    def __init__(self, table: Table, column: str, *, key: Sequence[str] = (), version: str | None = None) -> None:
        names = key or [one.name for one in table.primary_key if one.name != "tenant_id"]
        self.table = table
        self.column: Column[Any] = table.c[column]
        self.key: list[Column[Any]] = [table.c[name] for name in names]
        self.version: Column[Any] | None = None if version is None else table.c[version]
        _SEALED[table.name, column] = self

    def seal(self, tx: "Tx", key: Sequence[Any], value: str | bytes | Hidden, *, version: int = 0) -> bytes:
        """Seal a value for a row of the transaction's tenant; pure computing.

        Raises:
            KeysMissing: the store has no key.
            KeysUnavailable: it has one that could not be unwrapped.
        """
        return tx.keys.seal(self.place(tx.tenant_id, key, version), hidden(value))

    def open(self, tx: "Tx", key: Sequence[Any], sealed: bytes, *, version: int = 0) -> Hidden:
        """Open a row's value; SecretStr or SecretBytes, as it was given.

        Raises:
            KeyUnknown: the store lacks the key that it is sealed under.
            SealBroken: it was changed, or sealed for another tenant, row, column or version.
        """
        return tx.keys.open(self.place(tx.tenant_id, key, version), sealed)

    def place(self, tenant_id: UUID, key: Sequence[Any], version: int = 0) -> bytes:
        """Return what a value is sealed to: tenant, table, row, column, version, each with its length."""
        return place(tenant_id, self.table.name, key, self.column.name, version)


def place(tenant_id: UUID, table: str, key: Sequence[Any], field: str, version: int) -> bytes:
    """Return the canonical bytes of a place.

    Raises:
        InvalidInput: an element of the key is of a type that has no bytes here.
    """
    row = packed(*map(_bytes, key))
    return packed(tenant_id.bytes, table.encode(), row, field.encode(), _bytes(version))


def _bytes(element: Any) -> bytes:
    match element:
        case UUID():
            return element.bytes
        case str():
            return element.encode()
        case bytes():
            return element
        case datetime():
            return _bytes(micros(element))
        case int() if not isinstance(element, bool):
            return element.to_bytes(8, signed=True)
    message = f"A {type(element).__name__} is no key of a row"
    raise InvalidInput(message, field="key")
