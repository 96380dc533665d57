"""The storage floor beneath chat bots and AI assistants."""

from importlib import import_module
from typing import TYPE_CHECKING

from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.errors import UndercroftError
from undercroft.settings import Settings
from undercroft.store import AsyncStore, Store, TenantScope

if TYPE_CHECKING:
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
    from undercroft.core.seal.providers import KeyProvider, LocalKeyProvider
    from undercroft.crm import AccountMapping, Connection
    from undercroft.goals import Goal, Progress
    from undercroft.keys import BrokenValue, KeyUse, Resealed
    from undercroft.limits import Decision, Limit, Usage, limited
    from undercroft.meetings import Meeting, Push
    from undercroft.metrics import Measurement, NewMeasurement, Summary
    from undercroft.models import Base
    from undercroft.preferences import Preference
    from undercroft.queries import Query, Run
    from undercroft.results import Answer
    from undercroft.secrets import StoredSecret
    from undercroft.sessions import Session
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

_PLACES = {
    "undercroft.app_settings": ("Flag", "Setting"),
    "undercroft.archive": (
        "AttachmentRecord",
        "Channel",
        "ChannelRecord",
        "Hit",
        "MentionRecord",
        "Message",
        "MessageRecord",
        "ReactionRecord",
        "Saved",
        "UserRecord",
    ),
    "undercroft.audit": (
        "AuditArchived",
        "AuditEvent",
        "AuditExport",
        "AuditReport",
        "Checkpoint",
        "Damage",
        "generate_audit_key",
        "read_checkpoints",
        "verify_audit_files",
    ),
    "undercroft.config": ("ConfigDiff", "ConfigDifference", "ConfigEntry", "ConfigVersion"),
    "undercroft.core.seal.providers": ("KeyProvider", "LocalKeyProvider"),
    "undercroft.crm": ("AccountMapping", "Connection"),
    "undercroft.goals": ("Goal", "Progress"),
    "undercroft.keys": ("BrokenValue", "KeyUse", "Resealed"),
    "undercroft.limits": ("Decision", "Limit", "Usage", "limited"),
    "undercroft.meetings": ("Meeting", "Push"),
    "undercroft.metrics": ("Measurement", "NewMeasurement", "Summary"),
    "undercroft.models": ("Base",),
    "undercroft.preferences": ("Preference",),
    "undercroft.queries": ("Query", "Run"),
    "undercroft.results": ("Answer",),
    "undercroft.secrets": ("StoredSecret",),
    "undercroft.sessions": ("Session",),
    "undercroft.tenants": ("Tenant",),
    "undercroft.threads": ("NewMessage", "Thread", "ThreadMessage"),
    "undercroft.upkeep": ("Backup", "BackupFile", "BackupProgress", "Policy", "Removal", "RetentionRun", "Rotation"),
    "undercroft.upkeep.doctor": ("Finding", "Report"),
    "undercroft.upkeep.records": ("FleetStats", "Health", "Info", "TenantStats"),
    "undercroft.users": ("DatabaseMapping", "Role", "User"),
}
"""Where a name is that is imported when it is first asked for: its module needs time that not every program has."""

_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


if not TYPE_CHECKING:  # else any misspelt name would pass type checkers

    def __getattr__(name: str) -> object:
        if name == "models":
            return import_module("undercroft.models")
        if (place := _PLACE_OF.get(name)) is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(place), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
