"""The keys that values are sealed under: made, changed while the program runs, and retired."""

from undercroft.core.operation import C, Slice, procedure
from undercroft.keys import ops
from undercroft.keys.records import BrokenValue, KeyUse, Resealed

__all__ = ["BrokenValue", "KeyUse", "Keys", "Resealed"]


class Keys(Slice[C]):
    """The keys of a store."""

    create = procedure(ops.create)
    path = procedure(ops.path)
    new = procedure(ops.new)
    reload = procedure(ops.reload)
    status = procedure(ops.status)
    rotate = procedure(ops.rotate)
    retire = procedure(ops.retire)
