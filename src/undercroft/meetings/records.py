"""What the meetings slice takes and answers with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

State = Literal["received", "transcribed", "summarised", "pushed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Meeting:
    """A recorded meeting on its way into the CRM; ``native_id`` is what its ``source`` calls it.

    ``user`` is the platform's id. ``attempts`` counts what went wrong since it last came on: failures, and workers that
    died. ``held_by`` is the lease of the worker that has it until ``held_until``.
    """

    id: UUID
    source: str
    native_id: str
    user: str | None
    title: str
    state: State
    version: int
    attempts: int
    error: str | None = field(repr=False)
    failed_from: State | None
    held_by: UUID | None
    held_until: datetime | None
    transcript: str | None = field(repr=False)
    summary: str | None = field(repr=False)
    action_items: Sequence[Any] | Mapping[str, Any] | None = field(repr=False)
    crm_connection_id: UUID | None
    crm_external_id: str | None
    crm_result: Mapping[str, Any] | None = field(repr=False)
    started_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A state that a meeting came into."""

    version: int
    state: State
    error: str | None = field(repr=False)
    at: datetime


@dataclass(slots=True)
class Push:
    """A meeting that is being pushed, given by ``meetings.pushing``: fill in what the CRM answers.

    Hand ``idempotency_key`` to the CRM. It is the same each time, so a push that is repeated after a crash is counted
    once there.
    """

    meeting: Meeting
    idempotency_key: str
    connection: UUID | None = None
    external_id: str | None = None
    result: Mapping[str, Any] | None = field(default=None, repr=False)
