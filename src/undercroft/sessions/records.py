"""What the sessions slice answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Session:
    """What somebody is at in a channel: the database he asks, his preferences there; ``user`` is the platform's id."""

    id: UUID
    user: str
    channel: str
    team: str | None
    current_database: str | None
    preferences: Mapping[str, Any]
    started_at: datetime
    last_activity_at: datetime
    ended_at: datetime | None
