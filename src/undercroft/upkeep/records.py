"""What the upkeep slice answers with."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from undercroft.core.dialects.base import TableStats


@dataclass(frozen=True, slots=True)
class TenantStats:
    """How much a tenant holds, counted in one statement."""

    users: int
    channels: int
    messages: int
    attachments: int
    reactions: int
    quarantined: int
    audit_events: int
    first_message_at: datetime | None
    last_message_at: datetime | None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the database answers, how fast, and what stands in it.

    ``response_time_ms`` is one round trip; ``pool`` counts connections; ``error`` is the code of what went wrong.
    """

    status: Literal["healthy", "unhealthy"]
    engine: str
    response_time_ms: float
    server_version: str | None = None
    schema_revision: str | None = None
    schema_head: str | None = None
    pool: dict[str, int] = field(default_factory=dict)
    tables: list[TableStats] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Info:
    """Which database this is; the address carries no password."""

    engine: str
    address: str
    server_version: str
    schema_revision: str | None
    schema_head: str
    bytes: int


@dataclass(frozen=True, slots=True)
class FleetStats:
    """How much the whole database holds."""

    tenants: int
    deleted_tenants: int
    bytes: int
    tables: list[TableStats]
