"""What the tenants slice answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Tenant:
    """One workspace, guild or customer: the wall around everything that belongs to it.

    ``key`` is the name it is asked for by, such as ``slack:T123``. Times are aware, UTC.
    """

    id: UUID
    key: str
    name: str
    plan_tier: str
    subscription_status: str
    settings: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
