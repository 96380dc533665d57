"""What the audit slice answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Status = Literal["success", "failure", "denied"]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that somebody did or tried; never changed once written.

    ``event_hash`` is the SHA-256 that `rules.event_hash` computes over the event's canonical bytes.
    """

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
    event_hash: bytes
