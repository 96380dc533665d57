"""Upkeep: what keeps a database well, called by hand or on a schedule."""

from undercroft.core.operation import C, Slice, procedure
from undercroft.upkeep import indexes

__all__ = ["Upkeep"]


class Upkeep(Slice[C]):
    """What keeps the database well."""

    maintain_indexes = procedure(indexes.maintain_indexes)
