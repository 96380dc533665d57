"""The storage floor beneath chat bots and AI assistants."""

from undercroft.app_settings import Flag, Setting
from undercroft.archive import (
    AttachmentRecord,
    Channel,
    ChannelRecord,
    Hit,
    MentionRecord,
    Message,
    MessageRecord,
    ReactionRecord,
    Saved,
    UserRecord,
)
from undercroft.audit import (
    AuditArchived,
    AuditEvent,
    AuditExport,
    AuditReport,
    Checkpoint,
    Damage,
    generate_audit_key,
    read_checkpoints,
    verify_audit_files,
)
from undercroft.config import ConfigDiff, ConfigDifference, ConfigEntry, ConfigVersion
from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.core.schema import Base
from undercroft.core.seal.providers import KeyProvider, LocalKeyProvider
from undercroft.crm import AccountMapping, Connection
from undercroft.errors import UndercroftError
from undercroft.goals import Goal, Progress
from undercroft.keys import BrokenValue, KeyUse, Resealed
from undercroft.limits import Decision, Limit, Usage, limited
from undercroft.meetings import Meeting, Push
from undercroft.metrics import Measurement, NewMeasurement, Summary
from undercroft.preferences import Preference
from undercroft.queries import Query, Run
from undercroft.results import Answer
from undercroft.secrets import StoredSecret
from undercroft.sessions import Session
from undercroft.settings import Settings
from undercroft.store import AsyncStore, Store, TenantScope
from undercroft.tenants import Tenant
from undercroft.threads import NewMessage, Thread, ThreadMessage
from undercroft.upkeep import Backup, BackupFile, BackupProgress, Policy, Removal, RetentionRun, Rotation
from undercroft.upkeep.doctor import Finding, Report
from undercroft.upkeep.records import FleetStats, Health, Info, TenantStats
from undercroft.users import DatabaseMapping, Role, User

__all__ = [
    "AccountMapping",
    "Answer",
    "AsyncStore",
    "AttachmentRecord",
    "AuditArchived",
    "AuditEvent",
    "AuditExport",
    "AuditReport",
    "Awaiting",
    "Backup",
    "BackupFile",
    "BackupProgress",
    "Base",
    "Blocking",
    "BrokenValue",
    "Channel",
    "ChannelRecord",
    "Checkpoint",
    "ConfigDiff",
    "ConfigDifference",
    "ConfigEntry",
    "ConfigVersion",
    "Connection",
    "Damage",
    "DatabaseMapping",
    "Decision",
    "Finding",
    "Flag",
    "FleetStats",
    "Goal",
    "Health",
    "Hit",
    "Info",
    "KeyProvider",
    "KeyUse",
    "Limit",
    "LocalKeyProvider",
    "Measurement",
    "Meeting",
    "MentionRecord",
    "Message",
    "MessageRecord",
    "NewMeasurement",
    "NewMessage",
    "Policy",
    "Preference",
    "Progress",
    "Push",
    "Query",
    "ReactionRecord",
    "Removal",
    "Report",
    "Resealed",
    "RetentionRun",
    "Role",
    "Rotation",
    "Run",
    "Saved",
    "Session",
    "Setting",
    "Settings",
    "Store",
    "StoredSecret",
    "Summary",
    "Tenant",
    "TenantScope",
    "TenantStats",
    "Thread",
    "ThreadMessage",
    "UndercroftError",
    "Usage",
    "User",
    "UserRecord",
    "generate_audit_key",
    "limited",
    "read_checkpoints",
    "verify_audit_files",
]
__version__ = "0.1.0"
