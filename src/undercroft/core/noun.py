"""Nouns that are imported at their first use: a bot that keeps conversations never waits for meetings."""

from importlib import import_module
from typing import Any, Generic, Self, TypeVar, overload

from undercroft.core.operation import Slice
from undercroft.core.scope import Scope

N = TypeVar("N", bound=Slice[Any])


class noun(Generic[N]):  # noqa: N801 - reads as what it declares
    """A slice as an attribute of a scope, named by its place: ``noun("undercroft.threads:Threads")``.

    It is bound to the scope it stands on, or to ``scope``.
    """

    def __init__(self, place: str, scope: Scope | None = None) -> None:
        self.place = place
        self.scope = scope

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, obj: Slice[Any], owner: type | None = None) -> N: ...
    def __get__(self, obj: Any, owner: type | None = None) -> Any:
        if obj is None:
            return self
        found = self.load()(obj._runner, self.scope or obj._scope)  # noqa: SLF001 - a slice is ours
        obj.__dict__[self.attribute] = found
        return found

    def load(self) -> type[N]:
        """Import the slice's class."""
        module, name = self.place.split(":")
        found: type[N] = getattr(import_module(module), name)
        return found
