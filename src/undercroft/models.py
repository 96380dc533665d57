"""The ORM classes, for queries of your own: `with acme.session() as s: s.scalars(select(models.Message))`.

Results of calls are other, frozen classes: `undercroft.Tenant` is what `store.tenants.get` returns, the one here a row.
"""

from undercroft.app_settings.models import AppSetting, FeatureFlag
from undercroft.archive.models import (
    Attachment,
    Channel,
    ChannelMember,
    Mention,
    Message,
    MessageVersion,
    Quarantine,
    Reaction,
    ReactionUser,
)
from undercroft.archive.search_tables import message_search, messages_fts
from undercroft.audit.models import AuditArchive, AuditEvent, AuditLink, AuditPending
from undercroft.config.models import ConfigAudit, Configuration
from undercroft.core.change_models import ChangeVersion
from undercroft.core.idempotency_models import IdempotencyKey
from undercroft.core.schema import Base
from undercroft.crm.models import AccountMapping, CRMConnection
from undercroft.goals.models import BusinessGoal, GoalProgress
from undercroft.keys.models import ResealCursor
from undercroft.limits.models import ApiRateLimit, ApiRateLimitUsage
from undercroft.meetings.models import MeetingChange, MeetingSession
from undercroft.metrics.models import Metric, MetricRollup
from undercroft.preferences.models import UserPreference
from undercroft.queries.models import QueryRun
from undercroft.results.models import CacheDay, CachedResult, CachedResultTable, ResultLease
from undercroft.secrets.models import Secret
from undercroft.sessions.models import UserSession
from undercroft.tenants.models import Tenant
from undercroft.threads.models import Thread, ThreadMessage
from undercroft.upkeep.models import LegalHold, RetentionPolicy, UpkeepRun
from undercroft.users.models import User, UserMapping

__all__ = [
    "AccountMapping",
    "ApiRateLimit",
    "ApiRateLimitUsage",
    "AppSetting",
    "Attachment",
    "AuditArchive",
    "AuditEvent",
    "AuditLink",
    "AuditPending",
    "Base",
    "BusinessGoal",
    "CRMConnection",
    "CacheDay",
    "CachedResult",
    "CachedResultTable",
    "ChangeVersion",
    "Channel",
    "ChannelMember",
    "ConfigAudit",
    "Configuration",
    "FeatureFlag",
    "GoalProgress",
    "IdempotencyKey",
    "LegalHold",
    "MeetingChange",
    "MeetingSession",
    "Mention",
    "Message",
    "MessageVersion",
    "Metric",
    "MetricRollup",
    "Quarantine",
    "QueryRun",
    "Reaction",
    "ReactionUser",
    "ResealCursor",
    "ResultLease",
    "RetentionPolicy",
    "Secret",
    "Tenant",
    "Thread",
    "ThreadMessage",
    "UpkeepRun",
    "User",
    "UserMapping",
    "UserPreference",
    "UserSession",
    "message_search",
    "messages_fts",
]
