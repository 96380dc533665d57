"""Sessions: what each user is at, kept over restarts."""

from undercroft.core.operation import C, Slice, operation
from undercroft.sessions import ops
from undercroft.sessions.records import Session

__all__ = ["Session", "Sessions"]


class Sessions(Slice[C]):
    """The sessions of a tenant's users."""

    start = operation(ops.start)
    active = operation(ops.active, access="point", fresh=True)
    get = operation(ops.get, access="point")
    touch = operation(ops.touch, access="append")
    save = operation(ops.save)
    end = operation(ops.end)
    list = operation(ops.list_, access="read")
    cleanup = operation(ops.cleanup)
