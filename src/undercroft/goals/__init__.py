"""Goals: what a team wants to reach, and how it came along."""

from undercroft.core.operation import C, Slice, operation
from undercroft.goals import ops
from undercroft.goals.records import Goal, Progress

__all__ = ["Goal", "Goals", "Progress"]


class Goals(Slice[C]):
    """A tenant's goals."""

    save = operation(ops.save)
    get = operation(ops.get, access="point")
    list = operation(ops.list_, access="read")
    progress = operation(ops.progress, access="read")
    delete = operation(ops.delete)
