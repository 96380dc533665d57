"""Tenants: one for each Slack workspace, Discord guild or customer."""

from undercroft.core.operation import C, Slice, operation
from undercroft.tenants import ops
from undercroft.tenants.records import Tenant

__all__ = ["Tenant", "Tenants"]


class Tenants(Slice[C]):
    """The fleet's directory of tenants."""

    ensure = operation(ops.ensure)
    get = operation(ops.get, access="read")
    list = operation(ops.list_, access="read")
    update = operation(ops.update)
    soft_delete = operation(ops.soft_delete)
    restore = operation(ops.restore)
    purge = operation(ops.purge)
