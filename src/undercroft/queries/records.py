"""What the queries slice takes and answers with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Status = Literal["running", "success", "failed", "cancelled", "declined", "abandoned"]


@dataclass(frozen=True, slots=True)
class Query:
    """One question and the SQL made of it; ``execution_time_ms`` is in milliseconds, ``user`` the platform's id.

    ``running`` is also what a crash leaves; upkeep calls it ``abandoned`` after a while. ``declined`` is a question
    that the bot would not answer.
    """

    id: UUID
    session_id: UUID | None
    user: str | None
    question: str
    sql: str | None
    database: str | None
    status: Status
    error: str | None
    started_at: datetime
    finished_at: datetime | None
    execution_time_ms: int | None
    row_count: int | None
    result: Mapping[str, Any] | None
    warehouse_query_id: str | None
    approved_by: str | None
    approved_at: datetime | None


@dataclass(slots=True)
class Run:
    """A query under way, given by ``queries.record``: fill in what becomes known, all of it is written at the end.

    ``rows`` is counted, where it has a length, and not stored; set ``result`` for what is to be kept. ``status`` is how
    the block ended by its own account, such as ``declined``; without it the block succeeded unless it raised.
    """

    id: UUID
    question: str
    sql: str | None = None
    database: str | None = None
    rows: Sequence[Any] | None = field(default=None, repr=False)
    row_count: int | None = None
    result: Mapping[str, Any] | None = field(default=None, repr=False)
    warehouse_query_id: str | None = None
    status: Status | None = None
    error: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Hour:
    """What was asked in one hour, UTC, that begins at ``hour``.

    ``p50_ms`` and ``p95_ms`` are the nearest rank over the queries that have a time: a time in milliseconds that one of
    them took; None where there is none.
    """

    hour: datetime
    queries: int
    errors: int
    cancelled: int
    declined: int
    p50_ms: int | None
    p95_ms: int | None


@dataclass(frozen=True, slots=True)
class Activity:
    """What one user did in a period; ``user`` is the platform's id."""

    user: str
    queries: int
    errors: int
    sessions: int
    active_sessions: int
    last_activity_at: datetime
