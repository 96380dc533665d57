"""The audit trail: who did what, kept as it was written."""

from undercroft.audit import ops
from undercroft.audit.records import AuditEvent
from undercroft.core.operation import C, Slice, gathered, operation

__all__ = ["Audit", "AuditEvent"]


class Audit(Slice[C]):
    """A tenant's audit trail."""

    log = gathered(ops.new_event, ops.append)
    recent = operation(ops.recent, access="read")
    failures = operation(ops.failures, access="read")
    search = operation(ops.search, access="read")
