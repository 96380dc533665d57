"""The rows of a caller's own SQL, the same class whichever driver read them."""

import functools
from collections.abc import Iterator
from typing import Any, ClassVar, SupportsIndex, overload

from typing_extensions import override


class Row(tuple[Any, ...]):
    """One row: a tuple whose values also have names, ``row[0]``, ``row["name"]``, ``dict(row)``.

    Where two columns have one name, it means the first of them. A name that is none raises KeyError.
    """

    __slots__ = ()
    _places: ClassVar[dict[str, int]] = {}
    _names: ClassVar[tuple[str, ...]] = ()

    @overload
    def __getitem__(self, key: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, key: str) -> Any: ...
    @override
    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self._places[key] if isinstance(key, str) else key)

    def keys(self) -> tuple[str, ...]:
        """Return the names of the columns, in their order."""
        return self._names

    def values(self) -> tuple[Any, ...]:
        """Return the values, in the order of the columns."""
        return tuple(self)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Iterate over names with their values."""
        return zip(self._names, self, strict=True)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a column, or ``default`` where there is none of that name."""
        return self[name] if name in self._places else default

    def __repr__(self) -> str:
        return f"<Row {' '.join(f'{name}={value!r}' for name, value in self.items())}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._names, tuple(self))


@functools.lru_cache(maxsize=1024)
def row_type(names: tuple[str, ...]) -> type[Row]:
    """Return the class of rows that have these columns: what is the same in all of them is kept once."""
    places = {name: place for place, name in reversed(tuple(enumerate(names)))}
    return type("Row", (Row,), {"__slots__": (), "_names": names, "_places": places})


def _restored(names: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    return row_type(names)(values)
