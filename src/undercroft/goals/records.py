"""What the goals slice answers with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Status = Literal["not_started", "in_progress", "on_hold", "completed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal: ``priority`` is 1 to 5, the highest, ``progress`` 0 to 100; ``owner`` is the platform's id of a user."""

    key: str
    title: str
    description: str
    area: str
    status: Status
    priority: int
    progress: int
    owner: str | None
    weekly_actions: Sequence[str]
    success_metrics: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a goal was from a moment on, and who said so, by the platform's id of a user."""

    id: UUID
    progress: int
    status: Status
    by: str | None
    recorded_at: datetime
