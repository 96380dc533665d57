"""Upkeep: what keeps a database well, called by hand or on a schedule."""

from undercroft.core.operation import C, Slice, operation, procedure, resource
from undercroft.core.scope import Scope
from undercroft.sessions import ops as sessions
from undercroft.upkeep import backup as backups, cron, indexes
from undercroft.upkeep.backup import Backup, BackupFile, BackupProgress, Rotation
from undercroft.upkeep.retention import FleetRetention, Retention, running
from undercroft.upkeep.retention.records import Policy, Removal, RetentionRun

__all__ = [
    "Backup",
    "BackupFile",
    "BackupProgress",
    "Policy",
    "Removal",
    "RetentionRun",
    "Rotation",
    "TenantUpkeep",
    "Upkeep",
]


class Upkeep(Slice[C]):
    """What keeps the database well."""

    run = procedure(running.run)
    scheduler = resource(running.scheduler)
    cleanup_expired_sessions = procedure(running.cleanup_expired_sessions)
    cleanup_expired_cache = procedure(running.cleanup_expired_cache)
    pg_cron = procedure(cron.pg_cron)
    maintain_indexes = procedure(indexes.maintain_indexes)
    backup = procedure(backups.backup)
    verify_backup = procedure(backups.verify_backup)
    restore = procedure(backups.restore)
    list_backups = procedure(backups.list_backups)
    rotate_backups = procedure(backups.rotate_backups)

    def __init__(self, runner: C, scope: Scope) -> None:
        super().__init__(runner, scope)
        self.retention: FleetRetention[C] = FleetRetention(runner, scope)


class TenantUpkeep(Slice[C]):
    """What keeps a tenant's data no longer, and no shorter, than it should be."""

    run = procedure(running.run_tenant)
    cleanup_expired_sessions = operation(sessions.cleanup)
    cleanup_expired_cache = procedure(running.cleanup_expired_cache_of_tenant)

    def __init__(self, runner: C, scope: Scope) -> None:
        super().__init__(runner, scope)
        self.retention: Retention[C] = Retention(runner, scope)
