"""Retention: how long what is kept, for the fleet and for a tenant that needs it otherwise."""

from contextlib import suppress
from datetime import timedelta

from undercroft.core.operation import C, Slice, operation, procedure
from undercroft.core.runtime.base import Ports
from undercroft.core.scope import FLEET, Scope
from undercroft.errors import TenantDeleted, TenantUnknown
from undercroft.tenants import ops as tenants
from undercroft.upkeep.retention import ops
from undercroft.upkeep.retention.classes import data_class as class_of
from undercroft.upkeep.retention.records import Policy

__all__ = ["FleetRetention", "Retention"]

_POLICIES = operation(ops.fleet_policies, access="read")
_CHANGE = operation(ops.change_fleet)
_LOG = operation(ops.log_change)


class Retention(Slice[C]):
    """How long a tenant keeps what."""

    list = operation(ops.list_, access="read")
    set = operation(ops.set_)
    reset = operation(ops.reset)
    hold = operation(ops.hold)
    release = operation(ops.release)


def list_(ports: Ports) -> list[Policy]:
    """List the policy that each data class has where a tenant says nothing of its own."""
    return ports.within(FLEET).run(_POLICIES)  # type: ignore[no-any-return]  # what the operation returns


def set_(ports: Ports, data_class: str, *, keep: timedelta | None, by: str | None = None) -> Policy:
    """Keep a data class for so long, None for ever, wherever a tenant says nothing of its own.

    ``by`` is who decides, for the audit trail: that of the default tenant, where there is one.

    Raises:
        InvalidInput: an unknown data class, or a period that it cannot have.
    """
    return _change(ports, data_class, class_of(data_class).check(keep), by, reset=False)


def reset(ports: Ports, data_class: str, *, by: str | None = None) -> Policy:
    """Let the default hold for a data class again.

    Raises:
        InvalidInput: an unknown data class.
    """
    return _change(ports, class_of(data_class).name, None, by, reset=True)


def _change(ports: Ports, data_class: str, keep: timedelta | None, by: str | None, *, reset: bool) -> Policy:
    """Change a policy of the fleet, put into the trail first: nothing is changed that is not in it."""
    default = ports.within(Scope(tenants.tenant_id(tenants.DEFAULT), tenants.DEFAULT))
    with suppress(TenantUnknown, TenantDeleted):  # the policy itself says since when it holds, and by whom
        default.run(_LOG, data_class, keep, by, reset=reset, of="fleet")
    ports.within(FLEET).run(_CHANGE, data_class, keep, by, reset=reset)
    return next(policy for policy in list_(ports) if policy.data_class == data_class)


class FleetRetention(Slice[C]):
    """How long what is kept where a tenant says nothing of its own."""

    list = procedure(list_)
    set = procedure(set_)
    reset = procedure(reset)
