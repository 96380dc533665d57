"""Lists that are asked for with some filters of many, a page at a time."""

from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Delete, Select

from undercroft.errors import InvalidInput

LONGEST = 1000
S = TypeVar("S", Select[Any], Delete)


class Filtered(Generic[S]):
    """A SELECT or DELETE with optional conditions: one statement, kept, for each set of conditions that is used.

    Conditions that are always there but switched off by a parameter would hide the index from the planner.
    """

    __slots__ = ("_base", "_conditions", "_made")

    def __init__(self, base: S, **conditions: ColumnElement[bool]) -> None:
        self._base: S = base
        self._conditions = conditions
        self._made: dict[tuple[str, ...], S] = {}

    def given(self, **values: Any) -> tuple[S, dict[str, Any]]:
        """Choose the statement for the values that are not None; returns it with them."""
        used = {name: value for name, value in values.items() if value is not None}
        key = tuple(used)
        statement = self._made.get(key)
        if statement is None:
            conditions = [self._conditions[name] for name in key if name in self._conditions]
            statement = self._made[key] = self._base.where(*conditions)
        return statement, used


def check_limit(limit: int, most: int = LONGEST) -> int:
    """Return a page's length; raises InvalidInput outside 1 to ``most``."""
    if not 1 <= limit <= most:
        message = f"A page has 1 to {most} items."
        raise InvalidInput(message, field="limit")
    return limit
