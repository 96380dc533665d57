"""The audit trail: who did what, kept as it was written."""

from undercroft.audit import archiving, ops, sealing, verifying
from undercroft.audit.checkpoints import Checkpoint, generate_audit_key, read_checkpoints
from undercroft.audit.files import verify_audit_files
from undercroft.audit.records import AuditArchived, AuditEvent, AuditExport, AuditReport, Damage
from undercroft.core.operation import C, Slice, gathered, operation, procedure

__all__ = [
    "Audit",
    "AuditArchived",
    "AuditEvent",
    "AuditExport",
    "AuditReport",
    "Checkpoint",
    "Damage",
    "generate_audit_key",
    "read_checkpoints",
    "verify_audit_files",
]


class Audit(Slice[C]):
    """A tenant's audit trail."""

    log = gathered(ops.new_event, ops.append, many="append", prepare=ops.prepare)
    recent = operation(ops.recent, access="read")
    failures = operation(ops.failures, access="read")
    search = operation(ops.search, access="read")
    verify = procedure(verifying.verify)
    seal = procedure(sealing.seal)
    checkpoint = procedure(verifying.checkpoint)
    export = procedure(archiving.export)
    archive = procedure(archiving.archive)
