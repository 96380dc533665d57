"""What the threads slice takes and answers with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

Role = Literal["system", "developer", "user", "assistant", "tool"]
Content = str | Sequence[Mapping[str, Any]] | None
"""Text, or parts in the form of the model's provider, such as ``{"type": "image_url", …}``."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message on its way into a conversation; ``user`` is the platform's id of who said it."""

    role: Role
    content: Content = None
    user: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    tool_call_id: str | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadMessage(NewMessage):
    """A message of a conversation; positions count up by one, in the order in which messages were acknowledged."""

    position: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation; ``expires_after`` is how long it may be idle, None for ever.

    ``messages`` counts them. ``owner`` is the platform's id of a user: who spoke first, unless somebody was named.
    """

    id: UUID
    key: str
    owner: str | None
    title: str | None
    metadata: Mapping[str, Any]
    expires_after: timedelta | None
    messages: int
    created_at: datetime
    last_activity_at: datetime
