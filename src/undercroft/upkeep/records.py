"""What the upkeep slice answers with."""

from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Literal

from undercroft.core.dialects.base import TableStats
from undercroft.core.runtime.place import ReplicaState
from undercroft.upkeep.retention.records import LastRun, Policy


@dataclass(frozen=True, slots=True)
class TenantStats:
    """How much a tenant holds, how long it keeps it, and when upkeep saw to that.

    A month begins in UTC; ``next_run_at`` is None where no scheduler has said when it comes.
    """

    users: int
    channels: int
    messages: int
    attachments: int
    reactions: int
    quarantined: int
    audit_events: int
    first_message_at: datetime | None
    last_message_at: datetime | None
    crm_connections: int
    account_mappings: int
    meetings: int
    meetings_this_month: int
    _: KW_ONLY
    retention: list[Policy]
    last_run: LastRun | None
    next_run_at: datetime | None


@dataclass(frozen=True, slots=True)
class Trial:
    """How many milliseconds it took to write a row, to read it back and to delete it; None for what was not reached."""

    write_ms: float | None = None
    read_ms: float | None = None
    delete_ms: float | None = None


@dataclass(frozen=True, slots=True)
class RedisState:
    """Whether Redis answers, and how fast; the address carries no password, ``reason`` is the code of a refusal."""

    address: str
    answered: bool
    response_time_ms: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the database answers, how fast, and what stands in it.

    ``response_time_ms`` is one round trip; ``pool`` counts connections; ``error`` is the code of what went wrong.
    ``trial`` is there where it was asked for, by ``deep``.
    ``replica`` is that of ``replica_url``; without one, and while it is not read, a database may well be healthy.
    ``redis`` is there where limits are counted in it, and as little a part of the database.
    """

    status: Literal["healthy", "unhealthy"]
    engine: str
    response_time_ms: float
    server_version: str | None = None
    schema_revision: str | None = None
    schema_head: str | None = None
    pool: dict[str, int] = field(default_factory=dict)
    tables: list[TableStats] = field(default_factory=list)
    replica: ReplicaState | None = None
    redis: RedisState | None = None
    trial: Trial | None = None
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
    """How much the whole database holds, how long, and when upkeep saw to that; as `TenantStats`."""

    tenants: int
    deleted_tenants: int
    bytes: int
    tables: list[TableStats]
    retention: list[Policy]
    last_run: LastRun | None
    next_run_at: datetime | None
