"""The nouns that stand on a scope, used before or not."""

from typing import Any

from undercroft.core.noun import noun
from undercroft.core.operation import Slice


def nouns(scope: Slice[Any]) -> dict[str, Slice[Any]]:
    """Every slice on a scope by its name, in the order in which they are declared."""
    declared = [name for kind in type(scope).__mro__ for name, value in vars(kind).items() if isinstance(value, noun)]
    here = {name: value for name, value in vars(scope).items() if isinstance(value, Slice) and not name.startswith("_")}
    return {name: getattr(scope, name) for name in declared} | here
