"""What the audit slice answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict
from uuid import UUID

Status = Literal["success", "failure", "denied"]


class EventFields(TypedDict, total=False):
    """What may be said of an event beside its type."""

    category: str
    action: str
    by: str | None
    status: Status
    description: str
    resource_type: str | None
    resource_id: str | None
    ip: str | None
    user_agent: str | None
    data: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """Something that somebody did or tried, on its way into the trail."""

    id: UUID
    occurred_at: datetime
    event_type: str
    category: str
    action: str
    status: Status
    description: str
    actor: str | None
    resource_type: str | None
    resource_id: str | None
    ip: str | None
    user_agent: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent(NewEvent):
    """An event as it was written; never changed.

    ``event_hash`` is the SHA-256 that `rules.event_hash` computes over the event's canonical bytes.
    """

    event_hash: bytes
