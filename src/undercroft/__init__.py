"""The storage floor beneath chat bots and AI assistants."""

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
from undercroft.audit import AuditEvent
from undercroft.core.runtime.base import Awaiting, Blocking
from undercroft.core.schema import Base
from undercroft.errors import UndercroftError
from undercroft.queries import Query, Run
from undercroft.results import Answer
from undercroft.sessions import Session
from undercroft.settings import Settings
from undercroft.store import AsyncStore, Store, TenantScope
from undercroft.tenants import Tenant
from undercroft.upkeep.doctor import Finding, Report
from undercroft.upkeep.records import FleetStats, Health, Info, TenantStats
from undercroft.users import Role, User

__all__ = [
    "Answer",
    "AsyncStore",
    "AttachmentRecord",
    "AuditEvent",
    "Awaiting",
    "Base",
    "Blocking",
    "Channel",
    "ChannelRecord",
    "Finding",
    "FleetStats",
    "Health",
    "Hit",
    "Info",
    "MentionRecord",
    "Message",
    "MessageRecord",
    "Query",
    "ReactionRecord",
    "Report",
    "Role",
    "Run",
    "Saved",
    "Session",
    "Settings",
    "Store",
    "Tenant",
    "TenantScope",
    "TenantStats",
    "UndercroftError",
    "User",
    "UserRecord",
]
__version__ = "0.1.0"
