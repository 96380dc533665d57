"""Secrets: tokens, passwords and keys of a tenant's, sealed."""

from undercroft.core.operation import C, Slice, operation
from undercroft.secrets import ops
from undercroft.secrets.records import StoredSecret

__all__ = ["Secrets", "StoredSecret"]


class Secrets(Slice[C]):
    """The secrets of a tenant."""

    set = operation(ops.set_, hides=("value",))
    get = operation(ops.get, access="point")
    list = operation(ops.list_, access="read")
    delete = operation(ops.delete)
