"""What the users slice answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from undercroft.users.rules import Role


@dataclass(frozen=True, slots=True)
class User:
    """Somebody, or a bot, in one tenant.

    ``native_id`` is the platform's own id, verbatim; ``is_stub`` tells that no user list named him, only a message.
    """

    id: UUID
    native_id: str
    name: str
    display_name: str
    real_name: str
    email: str | None
    role: Role
    is_bot: bool
    is_stub: bool
    timezone: str | None
    preferences: Mapping[str, Any]
    profile: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    @property
    def shown_name(self) -> str:
        """The name that people read."""
        return self.display_name or self.real_name or self.name or self.native_id
