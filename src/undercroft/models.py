"""The ORM classes, for queries of your own: `with acme.session() as s: s.scalars(select(models.Message))`.

Results of calls are other, frozen classes: `undercroft.Tenant` is what `store.tenants.get` returns, the one here a row.
"""

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
from undercroft.audit.models import AuditEvent
from undercroft.core.idempotency_models import IdempotencyKey
from undercroft.core.schema import Base
from undercroft.queries.models import QueryRun
from undercroft.results.models import CacheDay, CachedResult, CachedResultTable, ResultLease
from undercroft.sessions.models import UserSession
from undercroft.tenants.models import Tenant
from undercroft.users.models import User, UserMapping

__all__ = [
    "Attachment",
    "AuditEvent",
    "Base",
    "CacheDay",
    "CachedResult",
    "CachedResultTable",
    "Channel",
    "ChannelMember",
    "IdempotencyKey",
    "Mention",
    "Message",
    "MessageVersion",
    "Quarantine",
    "QueryRun",
    "Reaction",
    "ReactionUser",
    "ResultLease",
    "Tenant",
    "User",
    "UserMapping",
    "UserSession",
    "message_search",
    "messages_fts",
]
